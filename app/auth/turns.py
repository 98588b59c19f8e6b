"""Turns: what would only conflict in the database is done one after another within a process."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final

_WAITING: Final[dict[Hashable, tuple[asyncio.Lock, list[None]]]] = {}


@asynccontextmanager
async def turn(subject: Hashable) -> AsyncIterator[None]:
    """Wait until nobody else of this process has their turn with the subject.

    Makes nothing safe that is not safe without it, other processes know nothing of it: it saves transactions that
    would be run again and again when many people, or one client many times, sign in as the same person at once.
    """
    lock, waiting = _WAITING.setdefault(subject, (asyncio.Lock(), []))
    waiting.append(None)
    try:
        async with lock:
            yield
    finally:
        waiting.pop()
        if not waiting:
            _WAITING.pop(subject, None)
