"""The live feed: one look at the database a second for all who watch, and none while nobody does."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from bson import ObjectId
from pymongo.errors import PyMongoError

from app.analytics.query.live import latest_events
from app.analytics.query.reader import Filter
from app.errors import Unavailable
from models.base import Raw, now, rfc3339

_MOST_WATCHERS: Final = 20
_QUEUED: Final = 200
_A_LOOK: Final = 100
_SECONDS: Final = 1.0


def is_stopping() -> bool:
    """Whether the server was told to stop: uvicorn waits for answers under way then, and a feed has no end."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))


class Feed:
    """The watchers of one process, and the task that looks for them."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[Raw | None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._seen: set[ObjectId] = set()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator["asyncio.Queue[Raw | None]"]:
        """A queue of the events that come in while the block lasts; the oldest go where it is not read fast enough.

        None in it says that the server stops.

        Raises:
            Unavailable: enough are watching.
        """
        if len(self._watchers) >= _MOST_WATCHERS:
            raise Unavailable("too many consoles are open", retry_after=30)
        queue: asyncio.Queue[Raw | None] = asyncio.Queue(_QUEUED)
        self._watchers.add(queue)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield queue
        finally:
            self._watchers.discard(queue)
            if not self._watchers and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        started = now()
        while not is_stopping():
            with suppress(PyMongoError):
                rows = await latest_events(Filter(), _A_LOOK)
                fresh = [row for row in reversed(rows) if row["_id"] not in self._seen and row["receivedAt"] >= started]
                self._seen = {row["_id"] for row in rows}
                for row in fresh:
                    self._tell(row)
            await asyncio.sleep(_SECONDS)
        self._tell(None)

    def _tell(self, row: Raw | None) -> None:
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(row)


def sent(row: Raw) -> dict[str, Any]:
    """An event as the feed shows it."""
    return {
        "time": rfc3339(row["timestamp"]),
        "appId": row["appId"],
        "eventName": row["eventName"],
        "eventCategory": row["eventCategory"],
        "known": "userId" in row,
    }


def matches(row: Raw, which: Filter) -> bool:
    """Whether a filter lets an event pass."""
    return all(row.get(name) == value for name, value in which.raw.items())
