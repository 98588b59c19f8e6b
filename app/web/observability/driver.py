"""Listeners on the driver: how long commands take, how many connections there are, and whether
there is a database."""

import time
from typing import Any

from pymongo import monitoring

from app.settings import Settings
from app.web.observability import log
from app.web.observability.measures import COMMANDS, DATABASE_UP, POOL
from app.web.observability.spans import CommandSpans


def listeners_of(settings: Settings) -> tuple[monitoring._EventListener, ...]:
    """Those of a server or a worker, made anew for each client."""
    spans = (CommandSpans(),) if settings.trace_database else ()
    return (CommandTimes(), PoolSizes(), Reachability(), *spans)


class CommandTimes(monitoring.CommandListener):
    """Measures every command that the driver sends."""

    def __init__(self) -> None:
        self._children: dict[tuple[str, str], Any] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Nothing to note yet."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Note the time of a command that went well."""
        self._observe(event.command_name, "ok", event.duration_micros)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Note the time of a command that failed."""
        self._observe(event.command_name, "failed", event.duration_micros)

    def _observe(self, command: str, outcome: str, micros: int) -> None:
        child = self._children.get((command, outcome))
        if child is None:
            child = self._children[command, outcome] = COMMANDS.labels(command, outcome)
        child.observe(micros / 1e6)


class PoolSizes(monitoring.ConnectionPoolListener):
    """Counts the connections that are open and in use."""

    def __init__(self) -> None:
        self._open, self._used = POOL.labels("open"), POOL.labels("in_use")
        self._open.set(0)
        self._used.set(0)

    def connection_created(self, event: monitoring.ConnectionCreatedEvent) -> None:
        """One more is open."""
        self._open.inc()

    def connection_closed(self, event: monitoring.ConnectionClosedEvent) -> None:
        """One less is open."""
        self._open.dec()

    def connection_checked_out(self, event: monitoring.ConnectionCheckedOutEvent) -> None:
        """One more is in use."""
        self._used.inc()

    def connection_checked_in(self, event: monitoring.ConnectionCheckedInEvent) -> None:
        """One less is in use."""
        self._used.dec()

    def connection_ready(self, event: monitoring.ConnectionReadyEvent) -> None:
        """Not counted."""

    def connection_check_out_started(
        self, event: monitoring.ConnectionCheckOutStartedEvent
    ) -> None:
        """Not counted."""

    def connection_check_out_failed(self, event: monitoring.ConnectionCheckOutFailedEvent) -> None:
        """Not counted."""

    def pool_created(self, event: monitoring.PoolCreatedEvent) -> None:
        """Not counted."""

    def pool_ready(self, event: monitoring.PoolReadyEvent) -> None:
        """Not counted."""

    def pool_cleared(self, event: monitoring.PoolClearedEvent) -> None:
        """Not counted."""

    def pool_closed(self, event: monitoring.PoolClosedEvent) -> None:
        """Not counted."""


class Reachability(monitoring.TopologyListener):
    """Says when the database goes, and when it comes back: once each, whoever asks meanwhile.

    It is gone while there is no primary that takes writes.
    """

    def __init__(self) -> None:
        self._was_there, self._gone_at = False, 0.0

    def opened(self, event: monitoring.TopologyOpenedEvent) -> None:
        """Nothing is known yet."""

    def description_changed(self, event: monitoring.TopologyDescriptionChangedEvent) -> None:
        """See whether there is a primary now, where there was none, or the other way round."""
        if not event.new_description.server_descriptions():
            return  # the client has been closed
        is_there = event.new_description.has_writable_server()
        DATABASE_UP.set(is_there)
        if self._was_there and not is_there:
            self._gone_at = time.monotonic()
            log.error("the database has gone")
        elif is_there and self._gone_at:
            seconds, self._gone_at = time.monotonic() - self._gone_at, 0.0
            log.warning("the database is back", seconds=round(seconds, 1))
        self._was_there = is_there

    def closed(self, event: monitoring.TopologyClosedEvent) -> None:
        """The process ends."""
