"""Logs and the request id: one plain ASGI layer around everything."""

import asyncio
import itertools
import logging
import re
import secrets
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from opentelemetry import trace
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Internal, Problem, UnreadableRow
from app.settings import Settings
from app.web.body import dump_json
from app.web.observability.callers import caller_kind, client_shown, trace_id
from app.web.observability.measures import IN_FLIGHT, REQUESTS
from models.aside import told
from models.unreadable import Unreadable

_PROCESS: Final = secrets.token_hex(4)
_NUMBERS: Final = itertools.count(1)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PRIVATE: Final = (
    "/v1/"  # all that is public is elsewhere: keys of tokens, the OpenAPI document, pages
)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
_OK: Final = 200
_REDACTED: Final = "REDACTED"
"""What stands in spans for queries, which name people, keys and cursors."""
_NO_STORE: Final = (b"cache-control", b"no-store")

REFUSED_HERE: Final = "satchel.refused"
"""The key in the scope of a request that was refused for want of a place: the server may treat it
so."""
TOLD_EVERY: Final = 1.0
"""Seconds between two log lines that tell of refusals."""

Header = tuple[bytes, bytes]
log = structlog.get_logger("satchel")


def _form(log_format: str) -> tuple[list[Any], Any]:
    """How lines end up: the last processors, and what writes them."""
    if log_format == "json":
        last = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(orjson.dumps),
        ]
        return last, structlog.BytesLoggerFactory(sys.stderr.buffer)
    # Not rich's tracebacks: they show the values of variables, secrets among them.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return [plain], structlog.PrintLoggerFactory(sys.stderr)


def configure_logging(settings: Settings) -> None:
    """Structured lines on stderr: JSON, or readable ones."""
    level = getattr(logging, settings.log_level.upper())
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last, factory = _form(settings.log_format)
    structlog.configure(
        processors=shared + last,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


def route_template(scope: Scope) -> str:
    """The template of the route that serves a request, `unmatched` where there is none."""
    template = scope.get("satchel.route")
    if template is None:
        template = getattr(scope.get("route"), "path", "unmatched")
    return str(template)


_OF_ANSWERS: Final = (ValidationError, PydanticSerializationError, orjson.JSONEncodeError)
"""Raised while an answer is made of what is stored; what was sent is told as a problem."""


class Observed:
    """Gives each request an id, measures and logs it, and turns what nobody caught into a
    problem."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._log_requests = settings.log_requests and settings.log_level in ("debug", "info")
        self._log_lines = settings.log_format == "json"
        self._log_clients = settings.log_clients
        self._children: dict[tuple[str, str, int], Any] = {}
        self._refused = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope["satchel.request_id"] = request_id
        span = trace.get_current_span() if "fastapi.telemetry" in scope else None
        if span is not None:
            _redact(span, scope)
        header = (b"x-request-id", request_id.encode())
        private = scope["path"].startswith(_PRIVATE)
        status, answered = 0, False

        async def observed(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                if span is not None:
                    span.set_attribute("url.path", route_template(scope))
                message["headers"] = _headed(message["headers"], header, private)
            await send(message)
            answered = message["type"] == "http.response.body" and not message.get("more_body")

        IN_FLIGHT.inc()
        try:
            await self.app(scope, receive, observed)
        except Exception as error:
            problem = _problem_of(error, request_id, route_template(scope))
            if status and not answered:
                raise  # in the middle of an answer: the client must see that it is cut off
            if not status:
                await send_problem(problem, scope, observed)
        finally:
            IN_FLIGHT.dec()
            self._record(scope, request_id, status, time.perf_counter() - started)

    def _child(self, method: str, route: str, status: int) -> Any:
        """The measure of such answers, looked up once."""
        key = (method, route, status)
        child = self._children.get(key)
        if child is None:
            if len(self._children) > 5000:
                self._children.clear()
            known = method if method in _METHODS else "other"
            child = self._children[key] = REQUESTS.labels(
                known if route != "unmatched" else "any", route, status
            )
        return child

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        method, route = scope["method"], route_template(scope)
        self._child(method, route, status).observe(seconds)
        if REFUSED_HERE in scope:
            self._note_refusal()
        elif self._log_requests and not (route in _PROBES and status == _OK):
            self._log(
                requestId=request_id,
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                caller=(caller := scope.get("satchel.caller")),
                kind=caller_kind(caller),
                client=client_shown(scope, self._log_clients),
                traceId=trace_id(scope),
            )

    def _note_refusal(self) -> None:
        """One line a second for all that are refused: a line for each would be a third of what a
        refusal costs."""
        if not self._refused:
            asyncio.get_running_loop().call_later(TOLD_EVERY, self._tell_refused)
        self._refused += 1

    def _tell_refused(self) -> None:
        refused, self._refused = self._refused, 0
        log.warning("refused", requests=refused)

    def _log(self, **said: Any) -> None:
        """One line per request, in the form that structlog gives to all others, at a fifth of its
        cost."""
        if not self._log_lines:
            log.info("request", **said)
            return
        line = {**said, "event": "request", "level": "info", "timestamp": datetime.now(UTC)}
        sys.stderr.buffer.write(
            orjson.dumps(line, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
        )
        sys.stderr.buffer.flush()


def _headed(sent: Iterable[Header], request_id: Header, private: bool) -> list[Header]:
    """An answer's headers with its id; what is private is kept by no cache, an error as little as a
    document."""
    if not private:
        return [*sent, request_id]
    return [*(header for header in sent if header[0] != b"cache-control"), request_id, _NO_STORE]


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return str(text)
    return f"{_PROCESS}{next(_NUMBERS):08x}"


async def send_problem(problem: Problem, scope: Scope, send: Send) -> None:
    """Answer with a problem (RFC 9457)."""
    body = dump_json(problem.body(scope.get("satchel.request_id", "")))
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    headers += [
        (name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items()
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _problem_of(error: Exception, request_id: str, route: str) -> Problem:
    """What is told of an error that nobody expected, which is logged; a row that cannot be read is
    named instead."""
    if isinstance(error, Unreadable):
        return UnreadableRow(told(error))
    log.exception("unexpected", requestId=request_id, route=route)
    if isinstance(error, _OF_ANSWERS):
        return UnreadableRow("what is stored here is nothing that could be answered")
    return Internal()


def _redact(span: trace.Span, scope: Scope) -> None:
    """Take out of a request's span what was sent: FastAPI puts its path and query in, with ids of
    people, keys of their data, tokens."""
    span.set_attribute("url.path", _REDACTED)  # its route, once it is known
    if scope["query_string"]:
        span.set_attribute("url.query", _REDACTED)
