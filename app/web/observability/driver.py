"""Listeners on the driver: how long commands take, how many connections there are."""

from typing import Any

from pymongo import monitoring

from app.web.observability.measures import COMMANDS, POOL


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
