"""How many card events wait, and how many were given up: measured by each worker now and then, not
when it is asked."""

import asyncio
from contextlib import suppress
from typing import Final

from app.jobs.bell import Bell
from app.settings import Settings
from app.web.observability import log
from app.web.observability.measures import CARD_BACKLOG, CARD_OLDEST
from models.base import now
from models.card_event import CardEvent, EventState

_EVERY_SECONDS: Final = 60.0
_STATES: Final[tuple[EventState, ...]] = ("waiting", "dead")


async def keep_gauges(_: Settings, stop: asyncio.Event, __: Bell | None = None) -> None:
    """Measure the backlog, once a minute, until `stop` is set. What is not known is not shown."""
    while not stop.is_set():
        try:
            await measure_backlog()
        except Exception as error:  # the next one is in time
            log.error("card events could not be counted", error=type(error).__name__)
            CARD_BACKLOG.clear()
            CARD_OLDEST.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_EVERY_SECONDS):
                await stop.wait()


async def measure_backlog() -> None:
    """Set the gauges: two queries by an index for each state."""
    for state in _STATES:
        count, happened = await CardEvent.backlog(state)
        CARD_BACKLOG.labels(state).set(count)
        CARD_OLDEST.labels(state).set(
            0 if happened is None else max((now() - happened).total_seconds(), 0)
        )
