"""Leases: leave to insert children of a parent for a few seconds after it was seen to exist
(docs/guarantees.md)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from bson import ObjectId
from pymongo.read_concern import ReadConcern

from app.errors import NotFound
from models.base import Stored
from models.living import living

T = TypeVar("T")
_MOST: Final = 100_000
_TOGETHER: Final = 100
_LOCAL: Final = ReadConcern("local")


@dataclass(slots=True, eq=False)
class _Read:
    """A read of parents that is under way, of those that were not dropped since it was sent."""

    asked: set[ObjectId]


class Leases:
    """What this process has seen to exist: parent id -> deadline on the monotonic clock.

    The deadline counts from before the read is sent, and the read is from the primary's latest
    state. So a child that is sent before the deadline is sent at most `seconds` after its parent's
    deletion, and `timeoutMS` bounds how long
    it then takes: the sweep after the fence finds it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadlines: dict[ObjectId, float] = {}
        self._floors: dict[ObjectId, int] = {}
        self._reading: dict[ObjectId, asyncio.Future[bool]] = {}
        self._used: set[ObjectId] = set()
        self._under_way: set[_Read] = set()

    def is_held(self, parent_id: ObjectId) -> bool:
        """Whether an insert may be sent now."""
        if self._deadlines.get(parent_id, 0.0) <= time.monotonic():
            return False
        self._used.add(parent_id)
        return True

    async def hold(self, parent: type[Stored], parent_id: ObjectId) -> None:
        """Hold a lease on a parent, reading it if need be. To be called right before the insert is
        sent.

        Raises:
            NotFound: there is no such parent.
        """
        while not self.is_held(parent_id):
            if not await self._read_once(parent, parent_id):
                raise NotFound("there is no such user")

    async def hold_many(
        self, parent: type[Stored], parent_ids: Collection[ObjectId]
    ) -> set[ObjectId]:
        """Hold leases on any number of parents, reading those that need it by one query.

        Returns:
            The ids that name no parent; empty where every lease is held, and held now.
        """
        while missing := {parent_id for parent_id in parent_ids if not self.is_held(parent_id)}:
            if gone := missing - await self._read(parent, missing):
                return gone
        return set()

    async def hold_living(
        self, parent: type[Stored], parent_ids: Collection[ObjectId]
    ) -> set[ObjectId]:
        """Hold leases on those parents that are there; to be called right before the insert is
        sent.

        Returns:
            The ids that name no parent; the leases on all others are held now.
        """
        gone: set[ObjectId] = set()
        while more := await self.hold_many(parent, set(parent_ids) - gone):
            gone |= more
        return gone

    def floor_of(self, parent_id: ObjectId) -> int:
        """The floor of versions of a parent whose lease is held, as it was when the lease was
        taken."""
        return self._floors.get(parent_id, 0)

    def drop(self, parent_id: ObjectId) -> None:
        """Give the lease back: the parent is gone, whatever a read under way will say."""
        self._forget(parent_id)
        for read in self._under_way:
            read.asked.discard(parent_id)

    async def _read_once(self, parent: type[Stored], parent_id: ObjectId) -> bool:
        """Read the parent; those who ask meanwhile share the one read."""
        reading = self._reading.get(parent_id)
        if reading is not None:
            return await asyncio.shield(reading)
        task = asyncio.ensure_future(self._is_there(parent, parent_id))
        self._reading[parent_id] = task
        task.add_done_callback(lambda _: self._reading.pop(parent_id, None))
        return await asyncio.shield(task)

    async def _is_there(self, parent: type[Stored], parent_id: ObjectId) -> bool:
        return parent_id in await self._read(parent, {parent_id})

    async def _read(self, parent: type[Stored], wanted: set[ObjectId]) -> set[ObjectId]:
        """Read parents, and by the same query those that are in use and whose leases run out soon:
        which are there."""
        started = time.monotonic()
        asked = {*wanted, *self._ending(started)}
        read = _Read(asked)
        self._under_way.add(read)
        try:
            found = await self._existing(parent, list(asked))
        finally:
            self._under_way.discard(read)
        for gone in asked - found:
            self._forget(gone)
        for seen in asked & found:
            self._grant(seen, started + self._seconds)
        return found  # one that was dropped meanwhile is not held, and read again

    def _ending(self, moment: float) -> list[ObjectId]:
        """Leases in the second half of their time that are in use; those that ran out unused are
        dropped."""
        soon = moment + self._seconds / 2
        ending = []
        # the oldest stand first
        for parent_id, deadline in list(islice(self._deadlines.items(), _TOGETHER)):
            if deadline > soon:
                break
            if parent_id in self._used:
                ending.append(parent_id)
            elif deadline <= moment:
                self._forget(parent_id)
        return ending

    async def _existing(self, parent: type[Stored], ids: list[ObjectId]) -> set[ObjectId]:
        floors: dict[ObjectId, int] = {}
        found = await living(parent, ids, concern=_LOCAL, noted={"versionFloor": floors})
        self._floors |= floors
        return found

    def _grant(self, parent_id: ObjectId, deadline: float) -> None:
        while len(self._deadlines) >= _MOST:
            self._forget(next(iter(self._deadlines)))
        self._deadlines.pop(parent_id, None)  # it stands last now
        self._used.discard(parent_id)
        self._deadlines[parent_id] = deadline

    def _forget(self, parent_id: ObjectId) -> None:
        self._deadlines.pop(parent_id, None)
        self._used.discard(parent_id)
        self._floors.pop(parent_id, None)


@dataclass(frozen=True, slots=True)
class Lease:
    """Leave to insert children of one parent. Whatever inserts them asks for this, and shows it
    right before."""

    leases: Leases
    parent: type[Stored]
    parent_id: ObjectId

    async def hold(self) -> int:
        """Hold it now: the insert is what follows, with nothing awaited in between.

        Returns:
            The floor of versions, after which a key that the parent has not had before begins.

        Raises:
            NotFound: there is no such parent.
        """
        if not self.leases.is_held(self.parent_id):
            await self.leases.hold(self.parent, self.parent_id)
        return self.leases.floor_of(self.parent_id)

    async def under(self, send: Callable[[], Awaitable[T]]) -> T:
        """Hold it, and send at once; raises NotFound where there is no such parent."""
        await self.hold()
        return await send()


def leases(scope: Any) -> Leases:
    """The leases of the process that serves this request."""
    found: Leases = scope["app"].state.leases
    return found
