"""The yardstick: the handlers that a good engineer writes with FastAPI and PyMongo for these
requests alone.

Without callers, checks, logs, metrics, sync or rollups; with orjson, `update_one`, a pool of 64
and the same durability. It has collections of its own: once with the one index that its queries
need (`lean`), once with every index of ours (`indexed`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from bson import ObjectId
from fastapi import FastAPI, Request, Response
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from app.settings import load_settings
from models.base import Raw
from scripts.bench.traffic import EVENTS_PATH, VALUE_PATH

LEAN: Final = "bare"
INDEXED: Final = "bare_indexed"
POOL: Final = 64
INDEXES: Final = {
    "appdata": ["userId", "appId", "dataKey"],
    "analytics": ["appId", "timestamp"],
}
"""The one index of each collection; that of values is unique."""


def lean() -> FastAPI:
    """The application on collections with one index each."""
    return _application(LEAN)


def indexed() -> FastAPI:
    """The same on collections with all the indexes that Satchel's have."""
    return _application(INDEXED)


async def fill(client: AsyncMongoClient[Raw], own: AsyncDatabase[Raw]) -> None:
    """Copy Satchel's values, such as the yardstick keeps them, and make its one index."""
    kept = {"$project": dict.fromkeys((*INDEXES["appdata"], "value", "version"), 1)}
    for name in (LEAN, INDEXED):
        into = {"$out": {"db": name, "coll": "appdata"}}
        await (await own["appdata"].aggregate([kept, into])).to_list()
    for collection, fields in INDEXES.items():
        await client[LEAN][collection].create_index(fields, unique=collection == "appdata")


def _application(name: str) -> FastAPI:
    settings = load_settings()
    assert settings.mongodb_uri is not None
    client: AsyncMongoClient[Raw] = AsyncMongoClient(
        settings.mongodb_uri.get_secret_value(),
        w="majority",
        journal=True,
        readConcernLevel="majority",
        maxPoolSize=POOL,
        timeoutMS=settings.request_timeout_ms,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    app = FastAPI(lifespan=lifespan)
    _values(app, client[name])
    _events(app, client[name])
    return app


def _values(app: FastAPI, database: AsyncDatabase[Raw]) -> None:
    values = database["appdata"]

    @app.get(VALUE_PATH)
    async def read(userId: str, appId: str, dataKey: str) -> Response:
        query = {"userId": ObjectId(userId), "appId": appId, "dataKey": dataKey}
        row = await values.find_one(query, {"_id": 0, "value": 1, "version": 1})
        if row is None:
            return _json({"detail": "not found"}, 404)
        return _json(row["value"], headers={"ETag": f'"{row["version"]}"'})

    @app.put(VALUE_PATH)
    async def write(userId: str, appId: str, dataKey: str, request: Request) -> Response:
        query: Raw = {"userId": ObjectId(userId), "appId": appId, "dataKey": dataKey}
        value = orjson.loads(await request.body())
        change = {"$set": {"value": value, "updatedAt": datetime.now(UTC)}, "$inc": {"version": 1}}
        if_match = request.headers.get("if-match")
        if if_match is None:
            await values.update_one(query, change, upsert=True)
            return _json({"dataKey": dataKey})
        known = int(if_match.strip('"'))
        done = await values.update_one(query | {"version": known}, change)
        if done.matched_count == 0:
            return _json({"detail": "stale"}, 412)
        return _json({"dataKey": dataKey, "version": known + 1})


def _events(app: FastAPI, database: AsyncDatabase[Raw]) -> None:
    events = database["analytics"]

    @app.post(EVENTS_PATH)
    async def ingest(request: Request) -> Response:
        body = orjson.loads(await request.body())
        if isinstance(body, list):
            result = await events.insert_many([_row(event) for event in body], ordered=False)
            return _json({"accepted": len(result.inserted_ids)})
        await events.insert_one(_row(body))
        return _json({"accepted": 1})


def _json(what: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(what), status, headers, "application/json")


def _row(event: dict[str, Any]) -> Raw:
    """An event with the types that the indexes and queries need."""
    return {
        **event,
        "userId": ObjectId(event["userId"]),
        "timestamp": datetime.fromisoformat(event["timestamp"]),
        "receivedAt": datetime.now(UTC),
    }
