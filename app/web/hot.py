"""Hot routes: plain ASGI endpoints that resolve caller and preconditions by plain calls (facts:
FastAPI's share)."""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs

from bson import ObjectId
from opentelemetry import trace
from pymongo.errors import PyMongoError
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Internal, Invalid, MethodNotAllowed, Problem
from app.errors.driver import from_driver
from app.identity.access import Access, Rules, in_force
from app.identity.caller import authenticate
from app.identity.principal import Principal
from app.web.body import dump_json, refuse_packed
from app.web.layers.compression import Compressed, choose
from app.web.observability import log, send_problem
from app.web.validation.queries import check_query, is_utf8
from models.user import ADMIN

JSON: Final = b"application/json"

_ENCODED_SLASH: Final = re.compile(rb"%2[fF]")
_PARAMETERS: Final = {
    b"apps": "appId",
    b"data": "dataKey",
    b"users": "userId",
    b"external-ids": "externalId",
}
"""What the segment after one of these stands for, where no route is like the path."""
_REPLACED: Final = "\ufffd"
"""What bytes that are no UTF-8 are read as, whatever they are: several names would be one."""

Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]


class HotRequest:
    """One request of a hot route: path parameters, headers by lower-case name, query, body."""

    __slots__ = ("_known", "access", "headers", "method", "path", "receive", "scope", "send")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        access: Access,
        known: Collection[str] | None = None,
    ) -> None:
        self.scope = scope
        self.access = access
        self._known = known
        self.method: str = scope["method"]
        self.path: Mapping[str, str] = scope["path_params"]
        self.headers = _joined(scope["headers"])
        self.receive = receive
        self.send = send

    @property
    def needs(self) -> str:
        """The scope that a key needs for the operation."""
        return self.access.scope or ADMIN

    def header(self, name: bytes) -> str | None:
        """A header's value, None where it was not sent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def query(self) -> dict[str, str]:
        """The query's parameters, the first of each name.

        Raises:
            Invalid: a parameter is no UTF-8.
        """
        return {name: values[0] for name, values in self._pairs().items()}

    def _pairs(self) -> dict[str, list[str]]:
        raw = self.scope["query_string"]
        if not raw:
            return {}
        try:
            return parse_qs(
                raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50
            )
        except ValueError:
            raise Invalid.field("?", "malformed", "the query is malformed") from None

    async def caller(self) -> Principal:
        """Who is calling; raises Unauthenticated, then Invalid for a query that `check_query` does
        not pass."""
        principal = await authenticate(self.scope)
        if self._known is not None and self.scope["query_string"]:
            check_query(
                (name for name, values in self._pairs().items() for _ in values), self._known
            )
        return principal

    def forget_caller(self) -> None:
        """Have the caller looked up anew when they are next asked for: the request has waited."""
        self.scope.pop("satchel.principal", None)

    async def body(self, *, packed: bool = False) -> bytes:
        """The whole body.

        Args:
            packed: whether the caller unpacks it; else UnsupportedMediaType is raised for a packed
                one.
        """
        if not packed:
            refuse_packed(self.header(b"content-encoding"))
        message = await self.receive()
        chunk: bytes = message.get("body", b"")
        if message["type"] == "http.request" and not message.get("more_body", False):
            return chunk
        chunks = [chunk]
        while message["type"] == "http.request" and message.get("more_body", False):
            message = await self.receive()
            chunks.append(message.get("body", b""))
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return b"".join(chunks)

    async def gone(self) -> None:
        """Return when the client has gone away."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _joined(lines: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name, the lines of one name joined to a list (RFC 9110, section 5.3)."""
    headers = dict(lines)
    if len(headers) == len(lines):
        return headers
    values: dict[bytes, list[bytes]] = {}
    for name, value in lines:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(found) for name, found in values.items()}


Handler = Callable[[HotRequest], Awaitable[Answer | None]]
"""Answers a request; None where it has sent its answer itself, as a stream does."""


ANY_QUERY: Final = None


class HotEndpoint:
    """An ASGI application that serves one path template by one handler per method.

    Args:
        template: of the path.
        handlers: by method.
        access: who may call, by method.
        query: the parameters that each method takes, none where it is left out; `ANY_QUERY` lets
            every one pass.
        aliases: further paths of the same operation, without parameters.
        any_origin: whether pages of every origin in `SATCHEL_WRITE_KEY_ORIGINS` may call it.
    """

    def __init__(
        self,
        template: str,
        handlers: Mapping[str, Handler],
        access: Mapping[str, Access],
        query: Mapping[str, Collection[str]] | None = MappingProxyType({}),
        *,
        aliases: Collection[str] = (),
        any_origin: bool = False,
    ) -> None:
        self.template = template
        self.patterns = [compile_path(path)[0] for path in (template, *aliases)]
        self.any_origin = any_origin
        self.methods: Collection[str] = handlers.keys()
        self._handlers = handlers
        self.rules = {
            name: in_force(name, access[method])
            for method in handlers
            if (name := f"{method} {template}")
        }
        self._access = access
        self._known = {
            method: None if query is None else query.get(method, ()) for method in handlers
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["satchel.route"] = self.template
        if "fastapi.telemetry" in scope:
            self._name_span(scope["method"])
        try:
            handler = self._handler(scope["method"])
            method = scope["method"]
            request = HotRequest(scope, receive, send, self._access[method], self._known[method])
            answer = await handler(request)
        except Problem as problem:
            await Compressed(_refusal(problem))(scope, receive, send)
            return
        except PyMongoError as error:
            await send_problem(_translated(error, scope), scope, send)
            return
        except ClientDisconnect:
            return
        if answer is None:
            return
        status, headers, body = answer
        if status not in (204, 304):
            headers.append((b"content-length", str(len(body)).encode()))
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        if status == 304 or len(body) >= choose(request.headers.get(b"accept-encoding", b""))[1]:
            await Compressed(_answer(start, body))(scope, receive, send)
            return
        await send(start)
        await send({"type": "http.response.body", "body": body})

    def _name_span(self, method: str) -> None:
        """Tell OpenTelemetry the route, as FastAPI's router does of those that it serves."""
        span = trace.get_current_span()
        span.set_attribute("http.route", self.template)
        span.update_name(f"{method} {self.template}")

    def _handler(self, method: str) -> Handler:
        handler = self._handlers.get(method)
        if handler is None:
            allowed = [*self._handlers, *(["HEAD"] if "GET" in self._handlers else [])]
            raise MethodNotAllowed(
                "the path takes other methods", headers={"Allow": ", ".join(allowed)}
            )
        return handler


def _answer(start: Message, body: bytes) -> ASGIApp:
    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return answer


def _refusal(problem: Problem) -> ASGIApp:
    async def refusal(scope: Scope, _receive: Receive, send: Send) -> None:
        await send_problem(problem, scope, send)

    return refusal


class HotRoutes:
    """Serves the hot paths, and hands every other request on to FastAPI."""

    def __init__(self, app: ASGIApp, endpoints: Sequence[HotEndpoint]) -> None:
        self._app = app
        self._endpoints = [
            (pattern, endpoint) for endpoint in endpoints for pattern in endpoint.patterns
        ]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request, which is awaited without a step in between."""
        if scope["type"] == "http":
            if (
                b"%" in (raw := scope.get("raw_path") or b"")
                and raw.startswith(b"/v1/")
                and (_REPLACED in scope["path"] or _ENCODED_SLASH.search(raw))
                and (refused := _unreadable(scope)) is not None
            ):
                return _refuse_name(refused, scope, send)
            for pattern, endpoint in self._endpoints:
                if found := pattern.match(scope["path"]):
                    scope["path_params"] = found.groupdict()
                    return endpoint(scope, receive, send)
        return self._app(scope, receive, send)


def _unreadable(scope: Scope) -> Invalid | None:
    """Which parameter of a path cannot be read as it was meant: one with an encoded slash, which
    would be another path, or in another encoding; None for none."""
    segments: list[bytes] = scope["raw_path"].split(b"/")
    for place, segment in enumerate(segments):
        if _ENCODED_SLASH.search(segment):
            said = "holds %2F, and no name has a slash"
        elif not is_utf8(segment):
            said = "is not UTF-8"
        else:
            continue
        name = _parameter(scope["app"].state.rules, segments, place)
        return Invalid.field(f"path:{name}", "malformed", f"{name} {said}")
    return None


async def _refuse_name(refused: Invalid, scope: Scope, send: Send) -> None:
    try:
        await authenticate(scope)
        raise refused
    except Problem as problem:
        await send_problem(problem, scope, send)


def _parameter(rules: Rules, segments: Sequence[bytes], place: int) -> str:
    """What a segment of a path stands for, by the first route that is like it."""
    for operation in rules.by_operation:
        parts = operation.partition(" ")[2].encode().split(b"/")
        is_like = len(parts) == len(segments) and all(
            part == segment or part.startswith(b"{")
            for part, segment in zip(parts, segments, strict=True)
        )
        if is_like and parts[place].startswith(b"{"):
            return parts[place][1:-1].decode()
    return _PARAMETERS.get(segments[place - 1], "path")


def _translated(error: PyMongoError, scope: Scope) -> Problem:
    problem = from_driver(error)
    if isinstance(problem, Internal):
        log.error("database error", requestId=scope.get("satchel.request_id"), exc_info=error)
    return problem


def json_answer(status: int, body: Any, headers: Headers | None = None) -> Answer:
    """An answer of JSON."""
    return status, [(b"content-type", JSON), *(headers or [])], dump_json(body)


def resolve(request: HotRequest, principal: Principal) -> ObjectId:
    """The user id that the path names."""
    return principal.resolve(request.path["userId"])
