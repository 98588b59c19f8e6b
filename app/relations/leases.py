"""Leases: leave to insert children of a parent for a few seconds after it was seen to exist (docs/architecture.md)."""

import asyncio
import time
from typing import Any, Final

from bson import ObjectId
from pymongo.read_concern import ReadConcern

from app.errors import NotFound
from models.base import Stored

_MOST: Final = 100_000
_LOCAL: Final = ReadConcern("local")


class Leases:
    """What this process has seen to exist: parent id -> deadline on the monotonic clock.

    The deadline counts from before the read is sent, and the read is from the primary's latest state. So a child that
    is sent before the deadline is sent at most `seconds` after its parent's deletion, and `timeoutMS` bounds how long
    it then takes: the sweep after the fence finds it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadlines: dict[ObjectId, float] = {}
        self._reading: dict[ObjectId, asyncio.Future[bool]] = {}

    def is_held(self, parent_id: ObjectId) -> bool:
        """Whether an insert may be sent now."""
        return self._deadlines.get(parent_id, 0.0) > time.monotonic()

    async def hold(self, parent: type[Stored], parent_id: ObjectId) -> None:
        """Hold a lease on a parent, reading it if need be. To be called right before the insert is sent.

        Raises:
            NotFound: there is no such parent.
        """
        while not self.is_held(parent_id):
            if not await self._read_once(parent, parent_id):
                raise NotFound("there is no such user")

    def drop(self, parent_id: ObjectId) -> None:
        """Give the lease back: the parent is gone."""
        self._deadlines.pop(parent_id, None)

    async def _read_once(self, parent: type[Stored], parent_id: ObjectId) -> bool:
        """Read the parent; those who ask meanwhile share the one read."""
        reading = self._reading.get(parent_id)
        if reading is not None:
            return await asyncio.shield(reading)
        task = asyncio.ensure_future(self._read(parent, parent_id))
        self._reading[parent_id] = task
        task.add_done_callback(lambda _: self._reading.pop(parent_id, None))
        return await asyncio.shield(task)

    async def _read(self, parent: type[Stored], parent_id: ObjectId) -> bool:
        deadline = time.monotonic() + self._seconds
        collection = parent.raw().with_options(read_concern=_LOCAL)
        found = await collection.find_one({"_id": parent_id}, {"_id": 1})
        if found is None:
            self.drop(parent_id)
            return False
        while len(self._deadlines) >= _MOST:
            del self._deadlines[next(iter(self._deadlines))]
        self._deadlines.pop(parent_id, None)
        self._deadlines[parent_id] = deadline
        return True


def leases(scope: Any) -> Leases:
    """The leases of the process that serves this request."""
    found: Leases = scope["app"].state.leases
    return found
