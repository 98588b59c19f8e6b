"""What following costs who writes, a part of `bench-sync`: a compare-and-set on a collection with
the index of the stamps, with history on and off, beside one on a collection without it."""

import asyncio
import time
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from bson import ObjectId
from bson import Timestamp as ClusterTime
from pymongo import AsyncMongoClient, IndexModel
from pymongo.asynchronous.collection import AsyncCollection

from indexes.app_data import OURS_APP_DATA
from models.app_data import AppData
from models.app_data_updates import first_try, key_of
from models.base import Raw, now
from models.precondition import Expected
from scripts.bench.processes import cpu_seconds
from scripts.bench.traffic import value

_WRITERS: Final = 8
_KEYS: Final = 50
_HISTORY: Final = 10
_SIZE: Final = 300
_APP: Final = "bench"


@dataclass(frozen=True, slots=True)
class Kind:
    """A collection, and how it is written."""

    name: str
    stamped: bool
    history: int = 0


KINDS: Final = (
    Kind("withoutIndex", stamped=False),
    Kind("withIndex", stamped=True),
    Kind("historyWithoutIndex", stamped=False, history=_HISTORY),
    Kind("historyWithIndex", stamped=True, history=_HISTORY),
)


async def measure(uri: str, mongod: int, rounds: int, seconds: float = 0.5) -> dict[str, Any]:
    """Microseconds of MongoDB's CPU for a write of each kind, in turn, and ratios.

    Args:
        uri: of the MongoDB.
        mongod: its process id.
        rounds: of each kind; one before warms up.
        seconds: of a round.
    """
    found: dict[str, list[float]] = {kind.name: [] for kind in KINDS}
    async with AsyncMongoClient[Raw](
        uri, w="majority", journal=True, readConcernLevel="majority", tz_aware=True
    ) as client:
        database = client["bench_stamps"]
        users = [ObjectId() for _ in range(_WRITERS)]
        for kind in KINDS:
            await _prepare(database[kind.name], kind, users)
        for number in range(-1, rounds):
            for kind in KINDS if number % 2 else reversed(KINDS):
                cost = await _round(database[kind.name], kind, users, mongod, seconds)
                found[kind.name] += [cost] if number >= 0 else []
        await client.drop_database("bench_stamps")
    plain = found["withoutIndex"]
    return {
        name: {
            "mongodMicroseconds": round(median(costs), 1),
            "ratio": round(
                median(cost / other for cost, other in zip(costs, plain, strict=True)), 2
            ),
        }
        for name, costs in found.items()
    }


async def _prepare(rows: AsyncCollection[Raw], kind: Kind, users: list[ObjectId]) -> None:
    """Its indexes, which are Satchel's but for the one of the stamps, and a value under each
    key."""
    wanted = [IndexModel([("userId", 1), ("appId", 1), ("dataKey", 1)], unique=True)]
    wanted += [
        IndexModel(list(index.keys.items()), **index.options)
        for index in OURS_APP_DATA[AppData]
        if kind.stamped or "userId" not in index.keys or "changedAt" not in index.keys
    ]
    await rows.create_indexes(wanted)
    moment = now()
    fields: Raw = {
        "appId": _APP,
        "value": value(0),
        "escaped": False,
        "deleted": False,
        "version": 1,
        "changedAt": ClusterTime(int(moment.timestamp()), 1),
        "changedBy": "bench",
        "bytes": _SIZE,
        "createdAt": moment,
        "updatedAt": moment,
    }
    await rows.insert_many(
        [
            {"userId": user, "dataKey": f"key{number:02}", **fields}
            for user in users
            for number in range(_KEYS)
        ]
    )


async def _round(
    rows: AsyncCollection[Raw], kind: Kind, users: list[ObjectId], mongod: int, seconds: float
) -> float:
    before, ends = cpu_seconds(mongod), time.monotonic() + seconds
    counts = await asyncio.gather(*(_write(rows, kind, user, ends) for user in users))
    return 1e6 * (cpu_seconds(mongod) - before) / sum(counts)


async def _write(rows: AsyncCollection[Raw], kind: Kind, user: ObjectId, ends: float) -> int:
    """Compare and set values in turn, each from the version that is there."""
    known = {
        row["dataKey"]: row["version"]
        async for row in rows.find({"userId": user}, {"_id": 0, "dataKey": 1, "version": 1})
    }
    count = 0
    while time.monotonic() < ends:
        for key in list(known):
            sets = (value(count), _SIZE, "bench", None, now())
            query, update = first_try(
                key_of(user, _APP, key),
                Expected((known[key],)),
                sets,
                ObjectId(),
                kind.history,
                0,
                alone=True,
            )
            row = await rows.find_one_and_update(query, update, {"version": 1})
            assert row is not None
            known[key] += 1
            count += 1
    return count
