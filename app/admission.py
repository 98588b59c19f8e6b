"""The gate: as many requests at once as the pool can serve in time, and bodies of a bounded size, number and time.

A request that waits for its body has no place among those worked on, so that slow senders keep nobody else out.
"""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.body import MAX_BODY_BYTES
from app.errors import BodyTooSlow, TooLarge, Unavailable
from app.observability import REFUSED, send_problem
from app.settings import Settings

_ALWAYS = {"/livez", "/metrics"}
_UNCOUNTED = "/readyz"
_NEEDS_DATABASE = ("/v1/", "/readyz")


class Admission:
    """Answers 503 at once to what would only wait, since PyMongo's own queue has no limit once `timeoutMS` is set."""

    def __init__(self, app: ASGIApp, settings: Settings, has_database: Callable[[], bool]) -> None:
        self.app = app
        self._has_database = has_database
        self.body_seconds = settings.body_seconds
        self._most, self._in_flight = settings.max_in_flight, 0
        self._most_bodies, self._bodies = settings.max_bodies_under_way, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self.app(scope, receive, send)
            return
        if not self._has_database() and scope["path"].startswith(_NEEDS_DATABASE):
            await send_problem(Unavailable("the database cannot be reached"), scope, send)
            return
        if scope["path"] == _UNCOUNTED:
            await self.app(scope, receive, send)
            return
        try:
            self.enter()
        except Unavailable as refusal:
            await send_problem(refusal, scope, send)
            return
        body = _Body(self, scope, receive)
        try:
            await self.app(scope, body.receive, send)
        finally:
            if body.has_place:
                self.leave()

    def enter(self) -> None:
        """Take a place among the requests that are worked on.

        Raises:
            Unavailable: there is none.
        """
        if self._in_flight >= self._most:
            REFUSED.inc()
            raise Unavailable("too many requests at once")
        self._in_flight += 1

    def leave(self) -> None:
        """Give the place back."""
        self._in_flight -= 1

    def begin_body(self) -> None:
        """Take a place among the bodies that are under way.

        Raises:
            Unavailable: there is none.
        """
        if self._bodies >= self._most_bodies:
            REFUSED.inc()
            raise Unavailable("too many bodies at once")
        self._bodies += 1

    def end_body(self) -> None:
        """Give the place back."""
        self._bodies -= 1


class _Body:
    """The body of one request, on its way."""

    __slots__ = ("_admission", "_complete", "_deadline", "_receive", "_received", "_scope", "has_place")

    def __init__(self, admission: Admission, scope: Scope, receive: Receive) -> None:
        self._admission, self._scope, self._receive = admission, scope, receive
        self._received, self._deadline = 0, 0.0
        self._complete = False
        self.has_place = True

    async def receive(self) -> Message:
        """The next part, for which the place is given back and taken again.

        Raises:
            TooLarge: the body is larger than a body may be.
            BodyTooSlow: its time is over.
            Unavailable: too many bodies are under way, or meanwhile there are too many requests.
        """
        if self._complete:
            return await self._receive()  # what comes now is the end of the connection
        if not self._deadline:
            self._begin()
        self._admission.leave()
        self.has_place = False
        message = await self._part()
        self._admission.enter()
        self.has_place = True
        self._received += len(message.get("body", b""))
        if self._received > MAX_BODY_BYTES:
            raise _too_large()
        self._complete = not message.get("more_body", False)
        return message

    def _begin(self) -> None:
        for name, value in self._scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > MAX_BODY_BYTES:
                raise _too_large()
        self._deadline = asyncio.get_running_loop().time() + self._admission.body_seconds

    async def _part(self) -> Message:
        self._admission.begin_body()
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow("the body did not arrive in time", headers={"Connection": "close"}) from None
        finally:
            self._admission.end_body()


def _too_large() -> TooLarge:
    return TooLarge(f"a body has at most {MAX_BODY_BYTES} bytes")
