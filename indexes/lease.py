"""The lease on dropping indexes, which one process holds at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from models.base import Raw

_LEASE: Final = {"_id": "indexes"}
_SECONDS: Final = 30


@asynccontextmanager
async def alone(database: AsyncDatabase[Raw]) -> AsyncIterator[None]:
    """Hold the lease on dropping indexes: else two processes that replace one index drop each
    other's new one."""
    leases, holder = database["leases"], ObjectId()
    await leases.update_one(_LEASE, {"$setOnInsert": {"holder": None}}, upsert=True)
    while not await _claim(leases, holder):  # noqa: ASYNC110  # it is another process that is waited for
        await asyncio.sleep(0.2)
    renewal = asyncio.create_task(_renew(leases, holder))
    try:
        yield
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError):
            await renewal
        await leases.update_one({**_LEASE, "holder": holder}, {"$set": {"holder": None}})


async def _claim(leases: AsyncCollection[Raw], holder: ObjectId) -> bool:
    """Take or prolong the lease, by the server's clock; False where another process holds it."""
    longest = {"$add": ["$$NOW", 2 * _SECONDS * 1000]}  # none lasts so long: it is damaged
    over = [{"$lt": ["$until", "$$NOW"]}, {"$gt": ["$until", longest]}]
    free = {"$or": [{"$in": ["$holder", [None, holder]]}, *over]}
    taken = {"holder": holder, "until": {"$add": ["$$NOW", _SECONDS * 1000]}}
    result = await leases.update_one({**_LEASE, "$expr": free}, [{"$set": taken}])
    return result.matched_count == 1


async def _renew(leases: AsyncCollection[Raw], holder: ObjectId) -> None:
    while True:
        await asyncio.sleep(_SECONDS / 3)
        await _claim(leases, holder)
