"""Quotas: how much an app may keep of one person, held without a counter that every write would
stand in line for.

What is used is read from an index, remembered for as long as a lease on the person, and corrected
by what this process writes meanwhile. So what other processes write within that time comes on top:
a person may be over by that much, once.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId
from cachetools import LRUCache

from app.errors import QuotaExceeded
from app.web.observability.measures import QUOTA_REFUSALS
from models.app import Quota
from models.app_data_usage import find_size, usage_of
from models.app_data_written import Written

HEADER: Final = "Satchel-Quota"
_REMEMBERED_SECONDS: Final = 5.0
_REMEMBERED_TIMES: Final = 20
"""At least so many times as long as it took to read, which is a matter of how many values a person
has."""
_MOST_ROOMS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Growth:
    """By how much a write makes what is kept more, or less."""

    keys: int = 0
    bytes: int = 0

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(self.keys + other.keys, self.bytes + other.bytes)

    def __sub__(self, other: "Growth") -> "Growth":
        return Growth(self.keys - other.keys, self.bytes - other.bytes)


_NOTHING: Final = Growth()


class Room:
    """What one app keeps of one person, as far as this process knows."""

    def __init__(self) -> None:
        self._read, self._under_way = Growth(), Growth()
        self._until = 0.0
        self._reading: asyncio.Task[None] | None = None

    @property
    def used(self) -> Growth:
        """Keys and bytes, with what is being written now."""
        return self._read + self._under_way

    async def know(self, user_id: ObjectId, app_id: str) -> None:
        """See that what is known is not too old; those who ask at the same time share one read."""
        if self._until > time.monotonic():
            return
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._ask(user_id, app_id))
        await asyncio.shield(self._reading)

    async def _ask(self, user_id: ObjectId, app_id: str) -> None:
        begun = time.monotonic()
        try:
            found = await usage_of(user_id, app_id)
        finally:
            self._reading = None
        self._read = Growth(found[0]["keys"], found[0]["bytes"]) if found else Growth()
        took = time.monotonic() - begun
        self._until = begun + max(_REMEMBERED_SECONDS, took * _REMEMBERED_TIMES)

    def forget(self) -> None:
        """Ask anew when it is next wanted."""
        self._until = 0.0

    def admits(self, growth: Growth, quota: Quota, beside: Growth = _NOTHING) -> bool:
        """Whether there is room beside what else is to be written: for what does not grow there
        always is."""
        used = self.used + beside
        keys = growth.keys <= 0 or quota.keys is None or used.keys + growth.keys <= quota.keys
        return keys and (
            growth.bytes <= 0 or quota.bytes is None or used.bytes + growth.bytes <= quota.bytes
        )

    def begin(self, growth: Growth) -> None:
        """Take room for a write that is sent now."""
        self._under_way += growth

    def end(self, growth: Growth, actual: Growth = _NOTHING) -> None:
        """Give it back; what was written is known from here on."""
        self._under_way -= growth
        self._read += actual


class Taken:
    """Room that a write has taken; `written` says in the end what was written."""

    def __init__(self) -> None:
        self.actual = Growth()

    def written(self, done: Written) -> Written:
        """Note what was written."""
        self.actual = Growth(done.grown_keys, done.grown_bytes)
        return done


class Rooms:
    """What apps keep of people, as far as one application knows; it begins knowing nothing."""

    def __init__(self) -> None:
        self._known: LRUCache[tuple[ObjectId, str], Room] = LRUCache(_MOST_ROOMS)

    async def room(self, user_id: ObjectId, app_id: str) -> Room:
        """What an app keeps of a person, not older than a lease."""
        room = self._known.get((user_id, app_id))
        if room is None:
            room = self._known[user_id, app_id] = Room()
        await room.know(user_id, app_id)
        return room

    def known(self, user_id: ObjectId, app_id: str) -> Room | None:
        """What is remembered of it, None where nothing is."""
        return self._known.get((user_id, app_id))

    def forget(self, user_id: ObjectId, app_id: str) -> None:
        """Ask anew what an app keeps of a person: much was written past its room."""
        if (room := self.known(user_id, app_id)) is not None:
            room.forget()

    @asynccontextmanager
    async def taking(
        self, key: tuple[ObjectId, str, str], size: int, quota: Quota
    ) -> AsyncIterator[Taken]:
        """Take room for a value while it is written. What is stored under the key is asked for only
        where it matters.

        Args:
            key: user, app and key.
            size: bytes of the value's JSON.
            quota: of the app.

        Raises:
            QuotaExceeded: there is none, and the write makes what is kept more.
        """
        room = await self.room(*key[:2])
        growth = Growth(1, size)
        if not room.admits(growth, quota):
            before = await find_size(*key)
            growth = Growth(1, size) if before is None else Growth(0, size - before)
            if not room.admits(growth, quota):
                QUOTA_REFUSALS.inc()
                raise QuotaExceeded(
                    _told(room.used), _allowed(quota), {HEADER: header_of(room, quota)}
                )
        taken = Taken()
        room.begin(growth)
        try:
            yield taken
        finally:
            room.end(growth, taken.actual)

    @asynccontextmanager
    async def giving_back(self, key: tuple[ObjectId, str, str]) -> AsyncIterator[None]:
        """Note the room that a value leaves which is deleted."""
        before = await find_size(*key)
        yield
        if before is not None and (room := self.known(*key[:2])) is not None:
            room.end(Growth(), Growth(-1, -before))

    def headers(self, user_id: ObjectId, app_id: str, quota: Quota | None) -> dict[str, str]:
        """`Satchel-Quota`, where the app has a quota and it is known what is used."""
        room = None if quota is None else self.known(user_id, app_id)
        return {} if room is None or quota is None else {HEADER: header_of(room, quota)}


def rooms_of(scope: Any) -> Rooms:
    """The rooms of the application that serves this request."""
    found: Rooms = scope["app"].state.rooms
    return found


def header_of(room: Room, quota: Quota) -> str:
    """`keys=12;allowed=100, bytes=4096`: a dictionary of structured fields (RFC 9651)."""
    used, allowed = _told(room.used), _allowed(quota)
    return ", ".join(
        f"{name}={used[name]}" + (f";allowed={allowed[name]}" if name in allowed else "")
        for name in used
    )


def _told(used: Growth) -> dict[str, int]:
    return {"keys": max(used.keys, 0), "bytes": max(used.bytes, 0)}


def _allowed(quota: Quota) -> dict[str, Any]:
    return {name: value for name, value in quota.model_dump().items() if value is not None}
