"""How far the rollups are behind."""

from typing import Final

from app.jobs.gauges import Measured
from app.web.observability.measures import ROLLUP_LAG
from models.analytics import Analytics
from models.base import now
from models.rollup_state import RollupState


async def measure_lag() -> None:
    """Set the gauge: two queries by an index."""
    waiting = await Analytics.first_received((await RollupState.read()).as_of)
    ROLLUP_LAG.set(0 if waiting is None else max((now() - waiting).total_seconds(), 0))


MEASURED: Final = Measured("rollups", measure_lag, (ROLLUP_LAG,))
