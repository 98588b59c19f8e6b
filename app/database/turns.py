"""Turns: writers of one document stand in line within a process, and wait a moment between
processes.

None of this makes anything safe that is not safe without it. It is so that somebody always gets on:
where many write one document at once, each would make the others' transactions and compare-and-sets
run again and again, and their writes, which wait for a transaction within the database, would hold
the connections that it needs to come to its end.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Collection, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

from app.errors import Unavailable

PATIENCE_SECONDS: Final = 20.0
"""How long somebody is overtaken again and again before they are told so."""
_FIRST_PAUSE: Final = 0.002
_GROWTH: Final = 1.5
_LONGEST_PAUSE: Final = 0.1
_WAITING: Final[dict[Hashable, tuple[asyncio.Lock, list[None]]]] = {}
_has_turn: ContextVar[bool] = ContextVar("has_turn", default=False)


class AlwaysOvertaken(Unavailable):
    """Others who write the same were faster for too long, or one of them was killed on the way."""


class Patience:
    """Tries of one writer: a random pause between them, each longer than the one before, and an end
    to them."""

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        self._ends = time.monotonic() + seconds
        self._longest = _FIRST_PAUSE

    async def again(self) -> None:
        """Pause, since somebody else was faster.

        Raises:
            AlwaysOvertaken: that has been so for too long.
        """
        if time.monotonic() > self._ends:
            raise AlwaysOvertaken("others who write the same were faster, again and again")
        await asyncio.sleep(random.uniform(0, self._longest))
        self._longest = min(self._longest * _GROWTH, _LONGEST_PAUSE)


@asynccontextmanager
async def turn(*subject: Hashable) -> AsyncIterator[Patience]:
    """Wait until nobody else of this process has their turn with the subject, first come first
    served.

    Within another turn, or a transaction, there is no waiting, so that turns never wait for each
    other in a circle.
    """
    async with turns([subject]) as patience:
        yield patience


@asynccontextmanager
async def turns(subjects: Collection[Hashable]) -> AsyncIterator[Patience]:
    """`turn` with several subjects at once.

    They are waited for in the order in which they are given. Whoever may want the same ones gives
    them in the same order, so that no two wait for each other.
    """
    if _has_turn.get():
        yield Patience()
        return
    held: list[asyncio.Lock] = []
    for subject in subjects:
        _WAITING.setdefault(subject, (asyncio.Lock(), []))[1].append(None)
    try:
        for subject in subjects:
            lock = _WAITING[subject][0]
            await lock.acquire()
            held.append(lock)
        token = _has_turn.set(True)
        try:
            yield Patience()
        finally:
            _has_turn.reset(token)
    finally:
        for lock in held:
            lock.release()
        for subject in subjects:
            _leave(subject)


def _leave(subject: Hashable) -> None:
    waiting = _WAITING[subject][1]
    waiting.pop()
    if not waiting:
        del _WAITING[subject]


def is_taken(*subject: Hashable) -> bool:
    """Whether somebody of this process has their turn with the subject, or waits for it."""
    return subject in _WAITING
