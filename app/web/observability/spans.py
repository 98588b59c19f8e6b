"""OpenTelemetry's spans of jobs and of commands to MongoDB; those of requests are FastAPI's.

Errors are named by their kind alone: their texts may hold values, which are for no other system.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from pymongo import monitoring

_COLLECTION: Final = "collection"
"""The member of `getMore` that names the collection; other commands have it as their own value."""


@contextmanager
def job_span(kind: str) -> Iterator[Span]:
    """A span of a worker's job, where spans are made."""
    tracer = trace.get_tracer("satchel")
    with tracer.start_as_current_span(
        f"job {kind}", record_exception=False, set_status_on_exception=False
    ) as span:
        yield span


class CommandSpans(monitoring.CommandListener):
    """Makes a span of every command within a span, as OpenTelemetry's conventions for MongoDB have
    it; nothing of what the command says but its name and its collection."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[Any, int], Span] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Begin a span, where what asks is traced."""
        if not trace.get_current_span().is_recording():
            return
        operation, collection = event.command_name, _collection_of(event)
        attributes: dict[str, str | int] = {
            "db.system.name": "mongodb",
            "db.namespace": event.database_name,
            "db.operation.name": operation,
            "server.address": event.connection_id[0],
            "server.port": event.connection_id[1] or 0,
        }
        if collection is not None:
            attributes["db.collection.name"] = collection
        name = operation if collection is None else f"{operation} {collection}"
        span = trace.get_tracer("satchel").start_span(
            name, kind=SpanKind.CLIENT, attributes=attributes
        )
        self._under_way[event.connection_id, event.request_id] = span

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """End its span."""
        if (span := self._under_way.pop((event.connection_id, event.request_id), None)) is not None:
            span.end()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """End its span, and say of which kind the error is: its message may hold values."""
        span = self._under_way.pop((event.connection_id, event.request_id), None)
        if span is not None:
            kind = event.failure.get("codeName") or event.failure.get("errtype") or "unknown"
            span.set_attribute("error.type", str(kind))
            span.set_status(StatusCode.ERROR)
            span.end()


def _collection_of(event: monitoring.CommandStartedEvent) -> str | None:
    named = event.command.get(event.command_name)
    found = event.command.get(_COLLECTION) if event.command_name == "getMore" else named
    return found if isinstance(found, str) else None
