"""One stream of server-sent events (HTML standard, section 9.2): it speaks when it is woken, and
says why it ends."""

import asyncio
import random
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final

from starlette.types import Message, Receive, Send

from app.identity.principal import Principal
from app.web.admission.gate import LEAVE_PLACE
from app.web.observability.measures import IN_FLIGHT
from app.web.streams.signals import ABORT, Wake

_STREAM: Final = "satchel.stream"
_STOPPING: Final = "satchel.stopping"
_LEFT: Final = "satchel.left"
BEAT_SECONDS: Final = 25.0
"""Proxies close a connection on which nothing is sent for half a minute or a minute."""
_BEAT: Final = b":\n\n"
_SPACING_SECONDS: Final = 0.1
"""Between two events: what happens meanwhile is told by the next one."""
_DRAIN_SECONDS: Final = 10.0
"""Longest that a client may leave unread what has filled its buffers."""


class End(StrEnum):
    """Why a stream ended, as its last event says. More may be added: whoever does not know one
    comes again."""

    RENEW = "renew"
    """It has lasted as long as streams do."""
    TOKEN_EXPIRING = "token_expiring"  # noqa: S105  # no secret
    SESSION_ENDED = "session_ended"
    """Or the user is gone, or the key is: the credentials are good for nothing any more."""
    SERVER_STOPPING = "server_stopping"
    SLOW = "slow"
    """What was sent was not read; this is counted, and cannot be said."""
    GONE = "gone"
    """The client left; likewise."""


_RETRY: Final[dict[End, tuple[int, int]]] = {
    End.SERVER_STOPPING: (200, 3000),
    End.RENEW: (100, 3000),
}
"""Milliseconds, shortest and longest, until the client comes again: they do not all come at
once."""
_EARLY_SECONDS: Final = 0.01
"""So much before its time a timer may ring."""
_USUAL_RETRY: Final = (1000, 3000)
_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)


class Stream:
    """An answer that goes on until the client leaves, or the server ends it.

    Attributes:
        principal: who listens.
        wake: set by whoever has something to tell.
        reason: why it ends; None while it goes on.
    """

    __slots__ = ("_alarm", "_ending", "_until", "principal", "reason", "wake")

    def __init__(self, principal: Principal, seconds: float, ending: End = End.RENEW) -> None:
        """`seconds` from now it ends, for the reason `ending`."""
        self.principal = principal
        self.wake = Wake()
        self.reason: End | None = None
        self._until = asyncio.get_running_loop().time() + seconds
        self._ending = ending
        self._alarm: asyncio.TimerHandle | None = None

    def end(self, reason: End) -> None:
        """Have it end, for the first reason that is given."""
        if self.reason is None:
            self.reason = reason
        self.wake.set()

    async def run(
        self,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Send,
        tell: Callable[[], bytes],
    ) -> None:
        """Answer a request until either side ends it. All that waits is one frame, since thousands
        wait here.

        Args:
            scope: of the request; its headers are dropped, since nobody looks at them again.
            receive: of the request.
            send: of the request.
            tell: makes what is sent after the stream was woken; empty where there is nothing to say
                after all.
        """
        listening = self._begin(scope, receive)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
            scope["headers"].clear()
            await _write(send, b"retry: %d\n\n" % random.randint(*_USUAL_RETRY))
            while self.reason is None:
                self._set_alarm()
                await self.wake.wait()
                if told := self._told(tell):
                    await _write(send, told)
                    await asyncio.sleep(_SPACING_SECONDS)
            await _write(send, _last_words(self.reason), last=True)
        except TimeoutError:
            self.reason = End.SLOW
            await self._cut_off(scope)
        finally:
            IN_FLIGHT.inc()
            for each in (self._alarm, listening):
                if each is not None:
                    each.cancel()

    def _begin(
        self, scope: MutableMapping[str, Any], receive: Receive
    ) -> "asyncio.Task[None] | None":
        """Be told of the server's stop and of the client's leaving: by the connection, or by a task
        that listens."""
        scope[_STREAM] = self
        if _STOPPING in scope:
            self.end(End.SERVER_STOPPING)
        if _LEFT in scope:
            self.end(End.GONE)
        scope[LEAVE_PLACE]()
        IN_FLIGHT.dec()
        return None if ABORT in scope else asyncio.create_task(self._listen(receive))

    def _set_alarm(self) -> None:
        """Be woken when something is to be sent at the latest."""
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_at(min(loop.time() + BEAT_SECONDS, self._until), self._ring)

    def _ring(self) -> None:
        if asyncio.get_running_loop().time() >= self._until - _EARLY_SECONDS:
            self.end(self._ending)
        self.wake.nudge()

    def _told(self, tell: Callable[[], bytes]) -> bytes:
        """What to send after it was woken; a beat where that was for none."""
        if self.reason is not None:
            return b""
        if not self.wake.is_set():
            return _BEAT
        self.wake.clear()
        return tell()

    async def _cut_off(self, scope: MutableMapping[str, Any]) -> None:
        """Close the connection of a client that does not read: all that is buffered would wait for
        it for ever."""
        if ABORT not in scope:
            return
        self.wake.clear()
        scope[ABORT]()
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self.wake.wait()  # until the connection has told that it is lost

    async def _listen(self, receive: Receive) -> None:
        """Notice that the client leaves; a body that it sends is not looked at."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end(End.GONE)


class _Waiting:
    """What stands in a stream's place where an answer waits for something else."""

    def __init__(self) -> None:
        self.stopped = Wake()

    def end(self, _: End) -> None:
        """Have the wait end."""
        self.stopped.set()


def stopping(scope: MutableMapping[str, Any]) -> Wake:
    """An event that is set when the server stops, for an answer that waits for something else."""
    waiting = scope[_STREAM] = _Waiting()
    if _STOPPING in scope:
        waiting.stopped.set()
    return waiting.stopped


def stop(scope: MutableMapping[str, Any]) -> None:
    """End the stream that answers a request, or is about to: the server stops."""
    scope[_STOPPING] = True
    if (stream := scope.get(_STREAM)) is not None:
        stream.end(End.SERVER_STOPPING)


def leave(scope: MutableMapping[str, Any]) -> None:
    """End the stream that answers a request, or is about to: the client has left."""
    scope[_LEFT] = True
    if (stream := scope.get(_STREAM)) is not None:
        stream.end(End.GONE)


async def _write(send: Send, body: bytes, *, last: bool = False) -> None:
    """Send a part; raises TimeoutError where the client does not read."""
    message: Message = {"type": "http.response.body", "body": body, "more_body": not last}
    async with asyncio.timeout(_DRAIN_SECONDS):
        await send(message)


def _last_words(reason: End) -> bytes:
    """The event that ends a stream; nothing where nobody hears it."""
    if reason == End.GONE:
        return b""
    wait = random.randint(*_RETRY.get(reason, _USUAL_RETRY))
    return b'retry: %d\nevent: end\ndata: {"reason":"%s"}\n\n' % (wait, reason.encode())
