"""The streams of a process: bounded in number, and ended within seconds of the session or key that
they hang on."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from bson import ObjectId
from prometheus_client import Counter as Count
from prometheus_client import Gauge
from pymongo.errors import PyMongoError

from app.errors import TooManyRequests, Unavailable
from app.identity.lapses import look
from app.identity.principal import Principal
from app.settings import Settings
from app.web.streams.stream import End, Stream
from models.clock import CLOCK

OPEN: Final = Gauge(
    "satchel_streams_open",
    "Streams of server-sent events that are open",
    ["kind"],
    multiprocess_mode="livesum",
)
ENDED: Final = Count("satchel_streams_ended", "Streams that have ended, by why", ["kind", "reason"])

_LOOK_SECONDS: Final = 3.0
"""Between two looks at the sessions and keys of all who listen."""
_BEFORE_SECONDS: Final = 5.0
"""So long before its token expires a stream ends, so that the client comes again with another one
in time."""
_SPREAD: Final = 0.1
"""Part of its time by which a stream may end sooner: those that began together do not end
together."""
_AGAIN: Final = (5, 30)
"""Seconds, shortest and longest, after which one who found no room may come again."""


class Room:
    """How many may listen, or wait, at once in a process: so many, and so many of one user.

    Args:
        kind: what they are called in the metrics.
        what: they are called where one is refused.
        most: of all.
        most_of_one: of one user.
    """

    def __init__(self, kind: str, what: str, most: int, most_of_one: int) -> None:
        self._kind, self._what = kind, what
        self._most, self._most_of_one = most, most_of_one
        OPEN.labels(kind).set(0)
        self._taken = 0
        self._of: Counter[ObjectId | None] = Counter()

    def __len__(self) -> int:
        """How many have a place."""
        return self._taken

    def check(self, user_id: ObjectId | None) -> None:
        """See that there is a place for one more.

        Raises:
            TooManyRequests: this user has enough.
            Unavailable: all are taken.
        """
        if self._taken >= self._most:
            raise Unavailable(f"too many {self._what} are open", random.randint(*_AGAIN))
        if user_id is not None and self._of[user_id] >= self._most_of_one:
            raise TooManyRequests(
                f"too many {self._what} of this user are open", random.randint(*_AGAIN)
            )

    def take(self, user_id: ObjectId | None) -> None:
        """Take a place."""
        self._taken += 1
        OPEN.labels(self._kind).set(self._taken)
        self._of[user_id] += 1

    def give_back(self, user_id: ObjectId | None) -> None:
        """Give a place back."""
        self._taken -= 1
        OPEN.labels(self._kind).set(self._taken)
        self._of[user_id] -= 1
        if not self._of[user_id]:
            del self._of[user_id]

    @contextmanager
    def place(self, user_id: ObjectId | None) -> Iterator[None]:
        """A place while the block lasts; errors as of `check`."""
        self.check(user_id)
        self.take(user_id)
        try:
            yield
        finally:
            self.give_back(user_id)


class OpenStreams:
    """Those that are open.

    Args:
        kind: what they are called in the metrics.
        most: of all.
        most_of_one: of one user.
        seconds: that one lasts at most.
    """

    def __init__(self, kind: str, most: int, most_of_one: int, seconds: float) -> None:
        self._kind, self._seconds = kind, seconds
        self._room = Room(kind, "streams", most, most_of_one)
        self._open: dict[Stream, ObjectId | None] = {}
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def admit(self, principal: Principal, user_id: ObjectId | None = None) -> "_Admitted":
        """A context manager of a stream for a caller, which has its room while the block lasts.

        Args:
            principal: who listens.
            user_id: whose data it is about; it ends when they are gone. None for nobody's.

        Raises:
            TooManyRequests: enough are open of this user.
            Unavailable: enough are open.
        """
        self._room.check(user_id)
        return _Admitted(self, self._begun(principal), user_id)

    def _enter(self, stream: Stream, user_id: ObjectId | None) -> None:
        self._open[stream] = user_id
        self._room.take(user_id)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking())

    def _leave(self, stream: Stream, user_id: ObjectId | None) -> None:
        del self._open[stream]
        self._room.give_back(user_id)
        ENDED.labels(self._kind, stream.reason or "refused").inc()

    def _begun(self, principal: Principal) -> Stream:
        left = principal.expires_at - CLOCK.time() - _BEFORE_SECONDS
        ending = End.TOKEN_EXPIRING if left < self._seconds else End.RENEW
        return Stream(
            principal, max(0.0, min(left, self._seconds)) * random.uniform(1 - _SPREAD, 1), ending
        )

    async def _keep_looking(self) -> None:
        while self._open:
            await asyncio.sleep(_LOOK_SECONDS)
            # then nobody can be told anything, and the next look is soon
            with suppress(PyMongoError):
                await self._look()

    async def _look(self) -> None:
        """End the streams of those whose credentials have lapsed, and those about people who are
        gone."""
        asked = list(self._open.items())
        has_lapsed = await look([(stream.principal, user_id) for stream, user_id in asked])
        for stream, user_id in asked:
            if has_lapsed(stream.principal, user_id):
                stream.end(End.SESSION_ENDED)


class _Admitted:
    """The room of one stream: smaller than a generator."""

    __slots__ = ("_room", "_stream", "_user_id")

    def __init__(self, room: OpenStreams, stream: Stream, user_id: ObjectId | None) -> None:
        self._room, self._stream, self._user_id = room, stream, user_id

    def __enter__(self) -> Stream:
        self._room._enter(self._stream, self._user_id)
        return self._stream

    def __exit__(self, *_: object) -> None:
        self._room._leave(self._stream, self._user_id)


def streams_of(settings: Settings) -> OpenStreams:
    """Room for the streams about changes that one process has."""
    bounds = (
        settings.event_streams,
        settings.event_streams_per_user,
        settings.event_stream_seconds,
    )
    return OpenStreams("changes", *bounds)


def open_streams(scope: Any) -> OpenStreams:
    """Those about changes of the process that serves this request."""
    found: OpenStreams = scope["app"].state.streams
    return found


def waiting_room(settings: Settings) -> Room:
    """Room for the polls of one process that wait for a change: as many as streams."""
    bounds = (settings.event_streams, settings.event_streams_per_user)
    return Room("waits", "waiting polls", *bounds)


def waiting_polls(scope: Any) -> Room:
    """That of the process that serves this request."""
    found: Room = scope["app"].state.waiting_polls
    return found
