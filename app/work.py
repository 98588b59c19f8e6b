"""Every background job. A domain with jobs has a `jobs.py`:

- `PERIODIC`: kind -> seconds after which it is due again at the latest;
- `WOKEN`: kind -> what is written when there is something to do for it, so that it need not be due
  often;
- `PLACES`: kind -> how many of its jobs are done at once, where that is more than one;
- `handlers(settings)`.

What a domain notes about deletions (`app.relations.hooks`) stands in its `deletion.py`, as `HOOKS`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from app.analytics import deletion as analytics_deletion
from app.analytics import jobs as analytics
from app.analytics import lag
from app.app_data import deletion as app_data_deletion
from app.app_data import jobs as app_data
from app.auth import jobs as auth
from app.cards import deletion as cards_deletion
from app.cards import gauges as card_gauges
from app.cards import jobs as cards
from app.cards.delivery import QUEUES, deliver
from app.connections import deletion as connections_deletion
from app.connections import jobs as connections
from app.jobs import Handler
from app.jobs.bell import Bell
from app.jobs.dispatch import JOBS, Dispatcher
from app.jobs.gauges import EVERY_SECONDS, job_backlog, keep
from app.jobs.periodic import ensure_periodic, keep_jobs
from app.jobs.watching import Watch, Watched
from app.ledger import gauges as ledger_gauges
from app.ledger import jobs as ledger
from app.relations import jobs as relations
from app.relations.hooks import Hooks
from app.repositories import deletion as repositories_deletion
from app.repositories import jobs as repositories
from app.settings import Settings
from app.sync import jobs as sync
from models.card_queue import CardQueue
from models.job import Job

DOMAINS: Final = (app_data, sync, auth, analytics, cards, connections, repositories)
"""The domains with jobs. Another is one more name here."""

MODULES: Final = (relations, ledger, *DOMAINS)
"""Every module with jobs."""

HOOKS: Final = Hooks.together(
    each.HOOKS
    for each in (
        analytics_deletion,
        app_data_deletion,
        cards_deletion,
        connections_deletion,
        repositories_deletion,
    )
)
"""What the domains note about deletions. Another domain is one more name here."""


async def keep_gauges(settings: Settings, stop: asyncio.Event, _: Bell | None = None) -> None:
    """Measure what is in the database, once a minute, until `stop` is set."""
    measured = [job_backlog(handlers(settings).keys()), lag.MEASURED, card_gauges.MEASURED]
    measured.append(ledger_gauges.measured(settings))
    await keep(measured, stop, EVERY_SECONDS)


LOOPS: Final[tuple[Callable[[Settings, asyncio.Event, Bell], Awaitable[None]], ...]] = (
    deliver,
    keep_jobs,
    keep_gauges,
)
"""What a worker does beside its jobs, each until the event is set: work that must not wait for a
long job."""

WOKEN: Final[dict[str, tuple[Watched, ...]]] = {
    kind: watched for domain in MODULES for kind, watched in domain.WOKEN.items()
}
"""Kind of periodic job -> what is written when there is something to do for it."""

_JOB: Final = Watched(Job, "runAt", but=("lastRunAt", "fence"))  # not that it ended, or began
_QUEUE: Final = Watched(CardQueue, "last")
WATCHED: Final = {**WOKEN, JOBS: (_JOB,), QUEUES: (_QUEUE,)}
"""Name for which bells are rung -> what is written then."""

_THREADS: Final = 128
PLACES: Final[dict[str, int]] = {
    kind: count for domain in MODULES for kind, count in domain.PLACES.items()
}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""
    found = relations.handlers(settings, HOOKS) | ledger.handlers(settings)
    for domain in DOMAINS:
        found |= domain.handlers(settings)
    return found


async def ensure_jobs() -> None:
    """Have the periodic jobs in the database."""
    for domain in MODULES:
        for kind, seconds in domain.PERIODIC.items():
            await ensure_periodic(kind, kind, every_seconds=seconds)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """All that a worker does, until the event is set."""
    # The name service is asked in threads, and for a name whose servers hang a thread waits as long
    # as they do.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "worker"))
    bells = [Bell(names) for names in ([*WOKEN, JOBS], *([QUEUES] for _ in LOOPS))]
    watching = asyncio.create_task(Watch(WATCHED, bells).run())
    dispatcher = Dispatcher(
        handlers(settings),
        bells[0],
        settings.worker_poll_seconds,
        woken=WOKEN.keys(),
        places=PLACES,
    )
    try:
        loops = [loop(settings, stop, bell) for loop, bell in zip(LOOPS, bells[1:], strict=True)]
        await asyncio.gather(dispatcher.work(stop), *loops)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
