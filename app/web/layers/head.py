"""HEAD: a GET whose body stays here, on every path that answers GET (RFC 9110, section 9.3.2)."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.streams.signals import ABORT


class Heads:
    """Serves HEAD as the GET of the same path, and hands every other request on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request; what is no HEAD is awaited without a step in between."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            return self._head(scope, receive, send)
        return self.app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        # a copy: the server takes the method of its own for what it sends
        as_get = {**scope, "method": "GET"}
        as_get.pop(ABORT, None)  # so that a stream listens to `received`
        started = False

        async def received() -> Message:
            """A body that goes on for ever, such as a stream of events, is told that nobody
            listens."""
            return {"type": "http.disconnect"} if started else await receive()

        async def headers_only(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        try:
            await self.app(as_get, received, headers_only)
        finally:
            # the route and the caller, for metrics and logs
            scope.update({**as_get, "method": "HEAD"})
