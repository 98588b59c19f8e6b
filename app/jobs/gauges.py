"""What is measured of the database: by each worker now and then, at a cost that does not grow with
what is stored, and never when it is asked."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from prometheus_client import Gauge

from app.web.observability import log
from app.web.observability.measures import JOBS_DUE, JOBS_OLDEST
from models.base import now
from models.job import Job

EVERY_SECONDS: Final = 60.0
OTHER: Final = "other"
"""Stands for every kind of job that this version does not know."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a worker measures.

    Attributes:
        what: it is called in the log, where it cannot be measured.
        measure: asks the database, and sets the gauges.
        gauges: show nothing where that is not known.
    """

    what: str
    measure: Callable[[], Awaitable[None]]
    gauges: tuple[Gauge, ...]


async def keep(measured: Sequence[Measured], stop: asyncio.Event, seconds: float) -> None:
    """Measure all of it, again after so many seconds, until `stop` is set."""
    while not stop.is_set():
        for each in measured:
            await _measure(each)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()


async def _measure(each: Measured) -> None:
    try:
        await each.measure()
    except Exception as error:  # the next one is in time
        log.error("a gauge is not known", what=each.what, error=type(error).__name__)
        for gauge in each.gauges:
            gauge.clear()


def job_backlog(kinds: Collection[str]) -> Measured:
    """The jobs that are due, by kind: of these, and of all others together."""

    async def measure() -> None:
        moment, counts, ages = now(), dict.fromkeys([*kinds, OTHER], 0), dict[str, float]()
        for row in await Job.overdue(moment):
            kind = row["_id"] if row["_id"] in counts else OTHER
            counts[kind] += row["count"]
            ages[kind] = max(ages.get(kind, 0), (moment - row["oldest"]).total_seconds())
        for kind, count in counts.items():
            JOBS_DUE.labels(kind).set(count)
            JOBS_OLDEST.labels(kind).set(ages.get(kind, 0))

    return Measured("jobs", measure, (JOBS_DUE, JOBS_OLDEST))
