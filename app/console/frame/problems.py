"""A person at a browser gets a page whatever went wrong: a problem, from however far out it comes,
is one as well."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.console.frame.rendering import render

_PROBLEM: Final = "application/problem+json"
_REPLACED: Final = frozenset({"content-type", "content-length", "content-encoding"})


class ProblemPages:
    """Makes pages of the problems that are answered under `/console` to who asks for HTML: browsers
    that open an address or send a form, not scripts."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if _is_for_people(scope):
            await self.app(scope, receive, _Paged(scope, send))
        else:
            await self.app(scope, receive, send)


def _is_for_people(scope: Scope) -> bool:
    if scope["type"] != "http" or not f"{scope['path']}/".startswith("/console/"):
        return False
    return "text/html" in Headers(scope=scope).get("accept", "")


class _Paged:
    """What is sent, a problem held back until it is there whole."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_problem(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_page(self._start)

    async def _send_page(self, start: Message) -> None:
        headers = Headers(raw=start["headers"])
        packed = "content-encoding" in headers
        problem = {} if packed or not self._body else orjson.loads(self._body)
        page = render("frame/problem.html", self._values(start["status"], problem), start["status"])
        kept = [pair for pair in start["headers"] if pair[0].decode().lower() not in _REPLACED]
        await self._send({**start, "headers": [*kept, *_new(page.raw_headers, kept)]})
        body = b"" if self._scope["method"] == "HEAD" else page.body
        await self._send({"type": "http.response.body", "body": body})

    def _values(self, status: int, problem: dict[str, Any]) -> dict[str, Any]:
        return {
            "status": status,
            "detail": problem.get("detail") or HTTPStatus(status).phrase,
            "request_id": problem.get("requestId") or self._scope.get("satchel.request_id", ""),
            "is_form": self._scope["method"] == "POST",
            "passes": status in (408, 429, 500, 503),
        }


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "").startswith(_PROBLEM)


def _new(
    headers: Iterable[tuple[bytes, bytes]], kept: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    there = {name.lower() for name, _ in kept}
    return [(name, value) for name, value in headers if name.lower() not in there]
