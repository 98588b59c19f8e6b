"""The gate: as many requests at once as the pool can serve in time, and bodies of a bounded size."""

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.body import MAX_BODY_BYTES
from app.errors import Problem, TooLarge, Unavailable
from app.observability import REFUSED, send_problem
from app.settings import Settings

_ALWAYS = {"/livez", "/metrics"}
_NEEDS_DATABASE = ("/v1/", "/readyz")


class Admission:
    """Answers 503 at once to what would only wait, since PyMongo's own queue has no limit once `timeoutMS` is set."""

    def __init__(self, app: ASGIApp, settings: Settings, has_database: Callable[[], bool]) -> None:
        self.app = app
        self._has_database = has_database
        self._most = settings.max_in_flight
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self.app(scope, receive, send)
            return
        if (refusal := self._refusal(scope)) is not None:
            await send_problem(refusal, scope, send)
            return
        self._in_flight += 1
        try:
            await self.app(scope, _bounded(receive), send)
        finally:
            self._in_flight -= 1

    def _refusal(self, scope: Scope) -> Problem | None:
        if self._in_flight >= self._most:
            REFUSED.inc()
            return Unavailable("too many requests at once")
        if not self._has_database() and scope["path"].startswith(_NEEDS_DATABASE):
            return Unavailable("the database cannot be reached")
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > MAX_BODY_BYTES:
                return _too_large()
        return None


def _too_large() -> TooLarge:
    return TooLarge(f"a body has at most {MAX_BODY_BYTES} bytes")


def _bounded(receive: Receive) -> Receive:
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise _too_large()
        return message

    return bounded
