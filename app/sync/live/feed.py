"""The feed: one change stream of app data for a whole process, which pokes the hub.

It is open while anybody listens, and for a moment longer: without listeners a process asks nothing.
Nothing depends on it but how soon a client asks: after what it may have missed it pokes everybody.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from bson import ObjectId
from bson import Timestamp as ClusterTime
from prometheus_client import Counter, Gauge
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import OperationFailure, PyMongoError

from app.database import connect
from app.jobs.backoff import Backoff
from app.settings import Settings
from app.sync.hub import Hub
from app.web.observability import log
from models.app_data import AppData
from models.base import Raw

OPEN: Final = Gauge(
    "satchel_change_feed_open",
    "Whether the change stream of app data is open",
    multiprocess_mode="livemin",
)
RESTARTS: Final = Counter(
    "satchel_change_feed_restarts", "Times that the change stream broke and was opened again"
)
CHANGES: Final = Counter(
    "satchel_change_feed_changes", "Changes of app data that the change stream told"
)
GAPS: Final = Counter(
    "satchel_change_feed_gaps", "Times that changes could have been missed, so that all were poked"
)

_AWAIT_SECONDS: Final = 5.0
"""How long the database keeps a question for changes when there are none."""
_DEAF_SECONDS: Final = 15.0  # beyond that: nothing came back at all
_LINGER_SECONDS: Final = 60.0
"""So long the stream stays open after the last listener has left: most come back."""
_GATHER_SECONDS: Final = 0.01
"""Between two questions while changes come in: a crowd of them costs few."""
_REOPEN: Final = Backoff(0.1, 5.0)
_RESUMABLE: Final = "ResumableChangeStreamError"
"""What the server writes on errors after which a stream can go on where it was; 286, lost history,
is none."""
_PIPELINE: Final[list[Raw]] = [
    {
        "$match": {
            "$or": [
                {"operationType": {"$in": ["insert", "replace"]}},
                {
                    "operationType": "update",
                    "updateDescription.updatedFields.changedAt": {"$exists": True},
                },
            ]
        }
    },
    {"$project": {"clusterTime": 1, "fullDocument.userId": 1, "fullDocument.appId": 1}},
]
"""An update tells no more of a document than its `_id` and what was set, so the rest is looked up,
within the database: measured with documents of 2 KB, 23 us of mongod and 6 of ours, against 21 and
17 for looking up twenty at a time."""


class Feed:
    """Follows the changes of app data.

    Attributes:
        position: everything that was committed up to then has been poked; None until it is open.
    """

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self.position: ClusterTime | None = None
        self._settings, self._hub = settings, hub
        self._token: Mapping[str, Any] | None = None
        self._is_open = asyncio.Event()
        OPEN.set(0)

    async def opened(self, seconds: float) -> None:
        """Return when the stream is open, or so much time has passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_open.wait()

    async def run(self) -> None:
        """Follow until cancelled, whenever anybody listens."""
        while True:
            await self._hub.company.wait()
            await self._serve()

    async def _serve(self) -> None:
        """Keep a stream open until nobody listens any more, on a connection of its own: a stream
        never gives it back.

        Requests so have the whole pool, and what comes late is not cut off by the time that a
        request has.
        """
        uri = self._settings.mongodb_uri
        assert uri is not None
        self._token = None
        async with connect(self._settings, uri.get_secret_value(), bounded=False) as client:
            read = AppData.raw()
            options: Any = read.codec_options
            rows = client.get_database(self._settings.database, options)[read.name]
            failures = 0
            while not await self._is_over(rows):
                RESTARTS.inc()
                failures = 1 if self._is_open.is_set() else failures + 1
                self._is_open.clear()
                OPEN.set(0)
                await asyncio.sleep(_REOPEN.after(failures).total_seconds())
        self._is_open.clear()
        OPEN.set(0)

    async def _is_over(self, rows: AsyncCollection[Raw]) -> bool:
        """Follow until nobody listens; False where the stream breaks before."""
        try:
            async with await self._open(rows) as stream:
                await self._follow(stream)
        except Exception as error:  # whatever it is, the next stream may be sound
            log.warning("the change stream of app data broke", error=type(error).__name__)
            if not _is_resumable(error):
                self._token = None
        return not self._hub.company.is_set()

    async def _open(self, rows: AsyncCollection[Raw]) -> AsyncChangeStream[Raw]:
        stream = await rows.watch(
            _PIPELINE,
            "updateLookup",
            start_after=self._token,
            max_await_time_ms=int(_AWAIT_SECONDS * 1000),
        )
        if self._token is None:
            hello = await rows.database.command("hello")
            self.position = hello["operationTime"]
            self._token = stream.resume_token
            GAPS.inc()
            self._hub.poke_all()  # of what came before it was open nothing is told
        self._is_open.set()
        OPEN.set(1)
        return stream

    async def _follow(self, stream: AsyncChangeStream[Raw]) -> None:
        loop = asyncio.get_running_loop()
        alone_since: float | None = None
        while stream.alive:
            async with asyncio.timeout(_AWAIT_SECONDS + _DEAF_SECONDS):
                change = await stream.try_next()
            if change is not None:
                self._tell(change)
            self._token = stream.resume_token
            if self._hub.company.is_set():
                alone_since = None
            elif loop.time() - (alone_since := alone_since or loop.time()) >= _LINGER_SECONDS:
                return
            has_more = bool(stream._cursor._data)  # of the batch that the driver has
            if change is not None and not has_more:
                await asyncio.sleep(_GATHER_SECONDS)
        self._token = None  # the collection was dropped

    def _tell(self, change: Raw) -> None:
        CHANGES.inc()
        self.position = change["clusterTime"]
        row = change.get("fullDocument") or {}  # else it is gone meanwhile
        user_id, app_id = row.get("userId"), row.get("appId")
        if isinstance(user_id, ObjectId) and isinstance(app_id, str):
            self._hub.poke(user_id, app_id)
        elif row:
            log.error("a change of app data does not tell whose it is: a row is damaged")


def _is_resumable(error: Exception) -> bool:
    """Whether a stream can go on behind what it has told; else it begins anew, since it would meet
    the same again."""
    if isinstance(error, OperationFailure):
        return error.has_error_label(_RESUMABLE)
    return isinstance(error, PyMongoError | OSError)
