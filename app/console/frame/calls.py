"""The API as the console calls it: in this process, by whoever is signed in, under its own
rules."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import orjson
from fastapi import Request
from starlette.types import Message, Receive, Scope, Send

from app.web.admission.gate import LEAVE_PLACE
from app.web.body import dump_json

MERGE: Final = "application/merge-patch+json"
_SPOKEN: Final = ("asgi", "http_version", "scheme", "client", "server", "root_path")


class Refused(Exception):
    """The API has refused a call.

    Attributes:
        status: of HTTP.
        problem: the body (RFC 9457).
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail"))
        self.status, self.problem = status, problem

    @property
    def detail(self) -> str:
        """Why, in a sentence."""
        return str(self.problem.get("detail") or "The request was refused.")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        """The JSON of the body, None where there is none."""
        return orjson.loads(self.body) if self.body else None

    @property
    def etag(self) -> str:
        """For `If-Match`."""
        return self.headers.get("etag", "")


def path_of(template: str, *parts: str) -> str:
    """A path with texts put into it, whatever is in them: `path_of("/v1/users/{}", user_id)`."""
    return template.format(*(quote(part, safe="") for part in parts))


class Api:
    """Calls the API with the credentials of whoever is signed in.

    The calls pass neither the gate, since the page that makes them has, nor the access log.
    """

    def __init__(self, request: Request, credential: str | None) -> None:
        self._request, self._credential = request, credential

    async def get(self, path: str, **query: Any) -> Any:
        """The value at a path; parameters that are None or empty are left out.

        Raises:
            Refused: the API refuses.
        """
        return (await self.send("GET", path, query=query)).value

    async def try_get(self, path: str, **query: Any) -> Any:
        """The same, None where it is not there or not for whoever is signed in."""
        try:
            return await self.get(path, **query)
        except Refused as refused:
            if refused.status in (403, 404):
                return None
            raise

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a call.

        Args:
            method: of HTTP.
            path: made by `path_of` where there is a text in it.
            body: a JSON value, or its bytes; None for no body.
            query: parameters; those that are None or empty are left out.
            headers: further ones.

        Raises:
            Refused: the API refuses.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else dump_json(body)
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        scope = self._scope(method, path, query or {}, headers or {}, len(content))
        await self._serve(scope, content, keep)
        answer = _gathered(sent)
        if answer.status >= 400:
            raise Refused(answer.status, answer.value)
        return answer

    async def pass_on(
        self, path: str, receive: Receive, send: Send, headers: Mapping[str, str]
    ) -> None:
        """Answer the console's own request by what the API answers, part by part. A stream gives
        back the place of that request."""
        scope = self._scope("GET", path, {}, headers, 0)
        if (leave := self._request.scope.get(LEAVE_PLACE)) is not None:
            scope[LEAVE_PLACE] = leave
        await self._request.app.state.api(scope, receive, send)

    async def _serve(self, scope: Scope, content: bytes, send: Send) -> None:
        parts = [{"type": "http.request", "body": content, "more_body": False}]

        async def receive() -> Message:
            if parts:
                return parts.pop()
            never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            return await never  # nobody goes away

        await self._request.app.state.api(scope, receive, send)

    def _scope(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        headers: Mapping[str, str],
        length: int,
    ) -> Scope:
        outer = self._request.scope
        given = {name: value for name, value in query.items() if value not in (None, "", [])}
        credential = {"authorization": f"Bearer {self._credential}"} if self._credential else {}
        lower = {name.lower(): text for name, text in headers.items()}
        told = {"host": self._request.headers.get("host", ""), **credential, **lower}
        if length:
            told = {"content-type": "application/json", "content-length": str(length), **told}
        return {
            **{name: outer[name] for name in _SPOKEN if name in outer},
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": urlencode(given, doseq=True).encode(),
            "headers": [(name.encode(), text.encode()) for name, text in told.items()],
            "state": dict(outer.get("state", {})),
            "app": self._request.app,
            "satchel.request_id": outer.get("satchel.request_id", ""),
        }


def _gathered(sent: list[Message]) -> Answer:
    """The messages of an answer as one."""
    start, *parts = sent
    headers = {name.decode().lower(): text.decode("latin-1") for name, text in start["headers"]}
    return Answer(start["status"], headers, b"".join(part.get("body", b"") for part in parts))
