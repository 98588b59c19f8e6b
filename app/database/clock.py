"""Measures the database's clock, by which this process goes, and tells where the machine's is
another."""

from datetime import UTC, datetime
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.monitoring import (
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
)

from app.web.observability import log
from app.web.observability.measures import CLOCK_AHEAD
from models.base import Raw
from models.clock import CLOCK, steady

TOLERATED_SECONDS: Final = 1.0
"""By how much the machine's clock may differ from the database's before it is told."""


async def measure(client: AsyncMongoClient[Raw]) -> None:
    """Ask the primary for its time (`hello`), and go by it from now on.

    Raises:
        pymongo.errors.PyMongoError: it does not answer.
    """
    before = steady()
    answer = await client.admin.command("hello")
    _go_by(answer["localTime"], before, steady())


def _go_by(told: datetime, before: float, after: float) -> None:
    was_off = _is_off()
    CLOCK.measured(told.timestamp(), before, after)
    CLOCK_AHEAD.set(CLOCK.ahead())
    if _is_off() and not was_off:
        log.warning(
            "this machine's clock differs from the database's, by which Satchel goes: set it"
            " by NTP",
            aheadSeconds=round(CLOCK.ahead(), 3),
        )


def _is_off() -> bool:
    return CLOCK.is_measured and abs(CLOCK.ahead()) > TOLERATED_SECONDS


class DatabaseClock(ServerHeartbeatListener):
    """Reads the primary's time off the driver's heartbeats, which come every ten seconds: clocks
    drift.

    They tell of a new primary's clock as soon as there is one, and no command is sent for it. This
    takes `serverMonitoringMode=poll`: a heartbeat that the database holds back says little of when
    its clock was read.
    """

    def __init__(self) -> None:
        self._asked: dict[Any, float] = {}

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        """Note when a member was asked."""
        self._asked[event.connection_id] = steady()

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        """Go by the time that it told, where it is the primary."""
        before, after = self._asked.pop(event.connection_id, None), steady()
        told = event.reply.document.get("localTime")
        if (
            before is not None
            and event.reply.is_writable
            and not event.awaited
            and isinstance(told, datetime)
        ):
            _go_by(told.replace(tzinfo=UTC), before, after)

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        """Go on by the clock that was measured last."""
        self._asked.pop(event.connection_id, None)
