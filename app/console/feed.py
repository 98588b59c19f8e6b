"""The live feed: one look at the database a second for all who watch, and none while nobody
does."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from bson import ObjectId
from pymongo.errors import PyMongoError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.analytics.query.live import latest_events
from app.analytics.query.reader import Filter
from app.identity.principal import Principal
from app.web.body import dump_json
from app.web.streams.open_streams import OpenStreams
from app.web.streams.signals import Wake
from models.base import Raw, now, rfc3339

_MOST_WATCHERS: Final = 20
_WATCHED_SECONDS: Final = 900
_KEPT: Final = 200
_A_LOOK: Final = 100
_SECONDS: Final = 1.0


class Feed:
    """Those who watch an application, and the task that looks for them."""

    def __init__(self) -> None:
        self.streams = OpenStreams("console", _MOST_WATCHERS, _MOST_WATCHERS, _WATCHED_SECONDS)
        self._watchers: dict[Wake, deque[Raw]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._seen: set[ObjectId] = set()

    @contextmanager
    def watch(self, wake: Wake) -> Iterator[deque[Raw]]:
        """The events that come in while the block lasts, at each of which one is woken; the oldest
        go where it is not read fast enough.
        """
        rows = self._watchers[wake] = deque[Raw](maxlen=_KEPT)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield rows
        finally:
            del self._watchers[wake]
            if not self._watchers and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        started = now()
        while True:
            with suppress(PyMongoError):
                rows = await latest_events(Filter(), _A_LOOK)
                fresh = [
                    row
                    for row in reversed(rows)
                    if row["_id"] not in self._seen and row["receivedAt"] >= started
                ]
                self._seen = {row["_id"] for row in rows}
                self._tell(fresh)
            await asyncio.sleep(_SECONDS)

    def _tell(self, rows: list[Raw]) -> None:
        for wake, waiting in self._watchers.items():
            waiting.extend(rows)
            if rows:
                wake.set()


def feed_of(scope: Scope) -> Feed:
    """The feed of the application that serves this request."""
    found: Feed = scope["app"].state.console_feed
    return found


class Live(Response):
    """The answer that goes on: events as they come in, those that a filter lets pass."""

    def __init__(self, feed: Feed, viewer: Principal, which: Filter) -> None:
        super().__init__()
        self._feed, self._viewer, self._which = feed, viewer, which

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            Unavailable: enough are watching.
        """
        with (
            self._feed.streams.admit(self._viewer) as stream,
            self._feed.watch(stream.wake) as rows,
        ):
            await stream.run(scope, receive, send, lambda: _told(rows, self._which))


def _told(rows: deque[Raw], which: Filter) -> bytes:
    """Server-sent events of what has come in; empty where the filter lets none of it pass."""
    told = [
        b"event: event\ndata: %s\n\n" % dump_json(sent(row)) for row in rows if matches(row, which)
    ]
    rows.clear()
    return b"".join(told)


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
