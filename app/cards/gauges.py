"""How many card events wait, and how many were given up."""

from typing import Final

from app.jobs.gauges import Measured
from app.web.observability.measures import CARD_BACKLOG, CARD_OLDEST
from models.base import now
from models.card_event import CardEvent, EventState

_STATES: Final[tuple[EventState, ...]] = ("waiting", "dead")


async def measure_backlog() -> None:
    """Set the gauges: two queries by an index for each state."""
    for state in _STATES:
        count, happened = await CardEvent.backlog(state)
        CARD_BACKLOG.labels(state).set(count)
        CARD_OLDEST.labels(state).set(
            0 if happened is None else max((now() - happened).total_seconds(), 0)
        )


MEASURED: Final = Measured("card events", measure_backlog, (CARD_BACKLOG, CARD_OLDEST))
