"""The gate: as many requests at once as the pool can serve in time, and bodies of a bounded size,
number and time.

Whoever finds no place waits in line. Refusing at once would make clients ask again at once, until
refusals are all that is done. A request that waits for its body has no place, so that slow senders
keep nobody else out.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooSlow, TooLarge, Unavailable
from app.settings import Settings
from app.web.admission.line import Bounds, Line, refusal
from app.web.body import MAX_BODY_BYTES, MAX_DELIVERY_BYTES
from app.web.observability import REFUSED_HERE, send_problem

LEAVE_PLACE: Final = "satchel.leave_place"
"""The key in a request's scope of what gives its place back, for an answer that goes on: a stream
holds none."""
_ALWAYS: Final = {"/livez", "/metrics"}
_UNCOUNTED: Final = "/readyz"
_NEEDS_DATABASE: Final = ("/v1/", "/readyz", "/console/sign-in")
"""Where hosts deliver what may be larger than other bodies: its route reads it in parts, and bounds
what it keeps."""
_VISIT: Final = "satchel.visit"
_LEAST_SECONDS: Final = 1e-6
_KIB: Final = 1024
_REQUEST_BYTES: Final = 16 * _KIB
"""What a request and its connection keep while they wait: measured with 2,000 of them on
uvicorn."""
_BUFFER_BYTES: Final = 64 * _KIB
"""What uvicorn reads of a body that nobody asks for."""


class Admission:
    """Lets requests in as places come free, since PyMongo's own queue has no limit once `timeoutMS`
    is set.

    Args:
        app: what they are let in to.
        settings: how many places there are, and how long the line.
        waits_for: why what needs the database cannot be served yet; None once the application has
            started.
        large: beginnings of the paths whose bodies may be as large as a Git host's delivery.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        waits_for: Callable[[], str | None],
        large: tuple[str, ...] = (),
    ) -> None:
        self.app = app
        self.large = large
        self._waits_for = waits_for
        self.body_seconds = settings.body_seconds
        self.line = Line(Bounds.of(settings))
        self._most_bodies, self._bodies = settings.max_bodies_under_way, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self.app(scope, receive, send)
            return
        reason = self._waits_for()
        if reason is not None and scope["path"].startswith(_NEEDS_DATABASE):
            await send_problem(Unavailable(reason), scope, send)
            return
        if scope["path"] == _UNCOUNTED:
            await self.app(scope, receive, send)
            return
        visit = _Visit(self, scope, receive)
        try:
            if not self.line.take():
                await self.line.enter(visit.size(), visit.gone)
        except Unavailable as problem:
            scope[REFUSED_HERE] = True
            await send_problem(problem, scope, send)
            return
        except ClientDisconnect:
            return
        visit.has_place = True
        scope[LEAVE_PLACE], scope[_VISIT] = visit.leave, visit
        try:
            await self.app(scope, visit.receive, send)
        finally:
            visit.leave()
            # a cycle, which would be there until cycles are searched for
            del (scope[LEAVE_PLACE], scope[_VISIT])

    def begin_body(self) -> None:
        """Take a place among the bodies that are under way.

        Raises:
            Unavailable: there is none.
        """
        if self._bodies >= self._most_bodies:
            raise refusal("too many bodies at once")
        self._bodies += 1

    def end_body(self) -> None:
        """Give the place back."""
        self._bodies -= 1


@asynccontextmanager
async def without_place(scope: Scope) -> AsyncIterator[None]:
    """Give the place of a request back while the block lasts, in which it waits for others, and
    take one again.

    Raises:
        Unavailable: no place came free in time.
    """
    visit: _Visit | None = scope.get(_VISIT)
    if visit is None:
        yield
        return
    visit.step_out()
    yield
    await visit.step_in()


class _Visit:
    """One request with its body, which is on its way."""

    __slots__ = (
        "_admission",
        "_complete",
        "_first",
        "_left",
        "_receive",
        "_received",
        "_scope",
        "has_place",
    )

    def __init__(self, admission: Admission, scope: Scope, receive: Receive) -> None:
        self._admission, self._scope, self._receive = admission, scope, receive
        self._received, self._left = 0, 0.0
        self._complete = False
        self._first: Message | None = None
        self.has_place = False

    def leave(self) -> None:
        """Give the place back, and ask for none again: what comes of the body from here on is not
        looked at."""
        if self.has_place:
            self.has_place = False
            self._admission.line.leave()
        self._complete = True

    def size(self) -> int:
        """Bytes that it keeps while it waits."""
        return _REQUEST_BYTES + min(self._announced(), _BUFFER_BYTES)

    async def gone(self) -> None:
        """Return when the client has gone away.

        The only way to learn it is to ask for the body, which would fetch more of it: a body that
        the server's buffer does not hold is asked for when there is a place.
        """
        if self._announced() <= _BUFFER_BYTES and not self._waits_for_continue():
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return
            self._first = message
            if not message.get("more_body", False):
                await self._receive()
                return
        await asyncio.get_running_loop().create_future()

    async def receive(self) -> Message:
        """The next part, for which the place is given back and taken again, unless it has come
        while it waited.

        Raises:
            TooLarge: the body is larger than a body may be.
            BodyTooSlow: its time is over.
            Unavailable: too many bodies are under way, or no place came free in time.
        """
        if self._complete:
            return await self._receive()  # what comes now is the end of the connection
        if not self._left:
            self._begin()
        message, self._first = self._first or await self._next(), None
        self._received += len(message.get("body", b""))
        if self._received > self._most():
            raise _too_large(self._most())
        self._complete = not message.get("more_body", False)
        return message

    def _begin(self) -> None:
        if self._announced() > self._most():
            raise _too_large(self._most())
        self._left = self._admission.body_seconds

    async def _next(self) -> Message:
        self.step_out()
        try:
            message = await self._part()
        except Unavailable:
            self._scope[REFUSED_HERE] = True
            raise
        await self.step_in()
        return message

    def step_out(self) -> None:
        """Give the place back."""
        self._admission.line.leave()
        self.has_place = False

    async def step_in(self) -> None:
        """Take a place again; raises Unavailable where none came free in time."""
        try:
            await self._admission.line.enter_again()
        except Unavailable:
            self._scope[REFUSED_HERE] = True
            raise
        self.has_place = True

    async def _part(self) -> Message:
        self._admission.begin_body()
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._left):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow(
                "the body did not arrive in time", headers={"Connection": "close"}
            ) from None
        finally:
            waited = asyncio.get_running_loop().time() - begun
            self._left = max(self._left - waited, _LEAST_SECONDS)  # what is done meanwhile is ours
            self._admission.end_body()

    def _most(self) -> int:
        """How many bytes the body may have."""
        return (
            MAX_DELIVERY_BYTES
            if self._scope["path"].startswith(self._admission.large)
            else MAX_BODY_BYTES
        )

    def _announced(self) -> int:
        """The body's size in bytes as the head tells it; that of the server's buffer where it comes
        in chunks."""
        for name, value in self._scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value)
            if name == b"transfer-encoding":
                return _BUFFER_BYTES
        return 0

    def _waits_for_continue(self) -> bool:
        """Whether the client sends its body only when it is asked for (RFC 9110, section
        10.1.1)."""
        return any(name == b"expect" for name, _ in self._scope["headers"])


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"a body has at most {most} bytes")
