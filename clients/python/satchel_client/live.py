"""Being told that something has changed: by the server's stream of events, and by questions that
wait where no stream gets through."""

import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from satchel_client.cache import Cache
from satchel_client.errors import SatchelError, SignedOut, Unreachable
from satchel_client.exchange import Call, Flow, Pause, Reply
from satchel_client.identity import Identity

_SILENT: Final = 40.0
"""The server says something every 25 seconds: a stream that is silent for longer is dead."""
_WAIT: Final = 25
_LONGEST_ASKED: Final = 3600.0
"""Whoever asks for more is not believed."""
_MOST_SILENCES: Final = 2
_NO_STREAM: Final = (404, 405, 501)
_QUESTIONS: Final = 20
"""So many questions that wait, and then a stream is tried again."""


class Pauses:
    """Waits that grow with each failure, from half a second to half a minute, drawn by lot so that
    clients do not march."""

    def __init__(self) -> None:
        self._failures = 0

    def next(self, error: BaseException | None = None) -> float:
        """Seconds to wait; as many as the server asked for at least."""
        longest: float = min(30.0, 0.5 * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        asked = error.retry_after if isinstance(error, SatchelError) else None
        return max(min(asked or 0.0, _LONGEST_ASKED), longest * random.uniform(0.5, 1.0))

    def reset(self) -> None:
        """It works."""
        self._failures = 0


class NoStream(Exception):
    """Streams do not get through: a proxy holds them back, or answers them itself."""


@dataclass(slots=True)
class _Event:
    name: str = ""
    data: str = ""
    id: str | None = None


class Listening:
    """What a store hears, over streams that end and are begun again.

    Args:
        poke: is called whenever there may be news.
    """

    def __init__(self, poke: Callable[[], None]) -> None:
        self.poke = poke
        self.last_id: str | None = None
        self.retry = 1.0
        self.reason = ""
        self.has_heard = False
        self.is_over = False
        self._event = _Event()
        self._response: httpx2.Response | None = None
        self._lock = threading.Lock()

    def begin(self, response: httpx2.Response) -> None:
        """A stream was opened."""
        self._event = _Event()
        with self._lock:
            self._response = response
        if self.is_over:
            self.stop()

    def hear(self, line: str) -> bool:
        """Take a line; whether it was the stream's last (HTML standard, section 9.2.6)."""
        self.has_heard = True
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "retry" and value.isdigit():
            self.retry = int(value) / 1000
        elif name == "event":
            self._event.name = value
        elif name == "data":
            self._event.data += value
        elif name == "id":
            self._event.id = value
        elif not line:
            return self._dispatch()
        return False

    def _dispatch(self) -> bool:
        event, self._event = self._event, _Event()
        if event.name == "changed":
            self.last_id = event.id or self.last_id
            self.poke()
        if event.name == "end":
            self.reason = event.data
        return event.name == "end"

    def stop(self) -> None:
        """End it, from any thread: who reads is woken."""
        self.is_over = True
        with self._lock, suppress(Exception):
            if self._response is not None:
                stream: Any = self._response.extensions["network_stream"]
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def follow_flow(
    identity: Identity, path: str, cache: Cache, listening: Listening, *, stream: bool
) -> Flow[None]:
    """Be told of changes until `listening` is stopped.

    Args:
        identity: whose.
        path: of the app.
        cache: knows how far the client is.
        listening: is told.
        stream: whether to try streams at all.
    """
    while not listening.is_over:
        if stream:
            with suppress(NoStream):
                yield from _streams_flow(identity, path, cache, listening)
        yield from _questions_flow(identity, path, cache, listening, stream=stream)


def _streams_flow(identity: Identity, path: str, cache: Cache, listening: Listening) -> Flow[None]:
    pauses, silences = Pauses(), 0
    while not listening.is_over:
        try:
            yield from _stream_flow(identity, path, cache, listening)
            pauses.reset()
            wait = listening.retry if listening.reason else pauses.next()
            silences += not listening.has_heard
        except SignedOut:
            wait = 5.0
        except (Unreachable, SatchelError) as error:
            silences += isinstance(error.__cause__, httpx2.ReadTimeout)
            if listening.has_heard:
                pauses.reset()
            wait = pauses.next(error)
        if listening.has_heard:
            silences = 0
        if silences == _MOST_SILENCES:
            raise NoStream
        yield Pause(wait)


def _stream_flow(identity: Identity, path: str, cache: Cache, listening: Listening) -> Flow[None]:
    listening.reason, listening.has_heard = "", False
    cursor = cache.state().cursor
    call = Call(
        "GET",
        f"{path}/events",
        {} if cursor is None else {"since": cursor},
        headers={"Accept": "text/event-stream", **_resumed(listening)},
        seconds=_SILENT,
        listening=listening,
    )
    if cursor is None:
        listening.poke()  # the server cannot tell whether there is news
    reply: Reply = yield from identity.send_flow(call)
    if reply.status in (410, 422):  # what it went on from is too old: `changes` will say what to do
        listening.last_id = None
        listening.poke()
    if reply.status in _NO_STREAM or (reply.status < 400 and not reply.is_stream):
        raise NoStream
    reply.checked()
    if "token_expiring" in listening.reason:
        yield from identity.renew_flow()


def _resumed(listening: Listening) -> dict[str, str]:
    return {} if listening.last_id is None else {"Last-Event-ID": listening.last_id}


def _questions_flow(
    identity: Identity, path: str, cache: Cache, listening: Listening, *, stream: bool
) -> Flow[None]:
    """Ask by requests that wait for an answer. It is a hint: who is poked fetches for itself."""
    pauses, told, left = Pauses(), None, _QUESTIONS
    while not listening.is_over and (left > 0 or not stream):
        cursor = cache.state().cursor
        if cursor is None or cursor == told:  # what was told is being fetched
            yield Pause(pauses.next())
            continue
        params = {"since": cursor, "limit": "1", "wait": str(_WAIT)}
        try:
            call = Call("GET", f"{path}/changes", params, seconds=_WAIT + 15.0)
            reply = yield from identity.send_flow(call)
            if reply.status == 410 or reply.checked().json()["changes"]:
                told = cursor
                listening.poke()
            pauses.reset()
            left -= 1
        except (Unreachable, SatchelError, SignedOut) as error:
            yield Pause(pauses.next(error))
