"""The yardstick: the same queries by plain FastAPI on PyMongo async, without callers, checks, logs,
metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pymongo import ReturnDocument

from app.database import connect
from app.settings import load_settings
from scripts.bench.traffic import EVENTS_PATH, VALUE_PATH


def create_app() -> FastAPI:
    """The application; it reads `SATCHEL_MONGODB_URI`, and its client has the options of Satchel's
    own."""
    settings = load_settings()
    assert settings.mongodb_uri is not None
    client = connect(settings, settings.mongodb_uri.get_secret_value())
    values = client[settings.database]["appdata"]
    events = client[settings.database]["analytics"]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get(VALUE_PATH)
    async def read(userId: str, appId: str, dataKey: str) -> JSONResponse:
        query = {"userId": ObjectId(userId), "appId": appId, "dataKey": dataKey}
        row = await values.find_one(query, {"_id": 0, "value": 1, "version": 1})
        if row is None:
            return JSONResponse({"detail": "not found"}, 404)
        return JSONResponse(row["value"], headers={"ETag": f'"{row["version"]}"'})

    @app.put(VALUE_PATH)
    async def write(userId: str, appId: str, dataKey: str, request: Request) -> JSONResponse:
        query: dict[str, Any] = {"userId": ObjectId(userId), "appId": appId, "dataKey": dataKey}
        if_match = request.headers.get("if-match")
        if if_match is not None:
            query["version"] = int(if_match.strip('"'))
        change = {
            "$set": {"value": await request.json(), "updatedAt": datetime.now(UTC)},
            "$inc": {"version": 1},
        }
        row = await values.find_one_and_update(
            query,
            change,
            {"_id": 0, "version": 1},
            upsert=if_match is None,
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            return JSONResponse({"detail": "stale"}, 412)
        return JSONResponse({"dataKey": dataKey, "version": row["version"]})

    @app.post(EVENTS_PATH)
    async def ingest(request: Request) -> JSONResponse:
        body = await request.json()
        if isinstance(body, list):
            result = await events.insert_many([_row(event) for event in body])
            return JSONResponse({"accepted": len(result.inserted_ids)})
        await events.insert_one(_row(body))
        return JSONResponse({"accepted": 1})

    return app


def _row(event: dict[str, Any]) -> dict[str, Any]:
    """An event with the types that the indexes and queries need."""
    return {
        **event,
        "userId": ObjectId(event["userId"]),
        "timestamp": datetime.fromisoformat(event["timestamp"]),
        "receivedAt": datetime.now(UTC),
    }
