"""Every background job. A domain with jobs has a `jobs.py`: `PERIODIC` (kind -> seconds) and `handlers(settings)`.

What a domain notes about deletions (`app.relations.witness`) stands in its `deletion.py`, imported here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from app.analytics import deletion as analytics_deletion
from app.analytics import jobs as analytics
from app.app_data import jobs as app_data
from app.auth import jobs as auth
from app.cards import deletion as cards_deletion
from app.cards import jobs as cards
from app.cards.delivery import deliver
from app.connections import deletion as connections_deletion
from app.connections import jobs as connections
from app.jobs import Handler, ensure_periodic, keep_jobs
from app.relations import jobs as relations
from app.repositories import deletion as repositories_deletion
from app.repositories import jobs as repositories
from app.settings import Settings

DOMAINS: Final = (relations, app_data, auth, analytics, cards, connections, repositories)
"""The modules with jobs. Another is one more name here."""

WITNESSES: Final = (analytics_deletion, cards_deletion, connections_deletion, repositories_deletion)
"""The modules that note something about deletions. Another is one more name here."""

LOOPS: Final[tuple[Callable[[Settings, asyncio.Event], Awaitable[None]], ...]] = (deliver, keep_jobs)
"""What a worker does beside its jobs, each until the event is set: work that must not wait for a long job."""


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""
    return {kind: handler for domain in DOMAINS for kind, handler in domain.handlers(settings).items()}


def queues(settings: Settings) -> list[dict[str, Handler]]:
    """The handlers of each domain, and those that may take long by themselves.

    A worker does one job of each at a time, so that none waits long.
    """
    found = []
    for domain in DOMAINS:
        known = domain.handlers(settings)
        apart = [{kind: known.pop(kind)} for kind in getattr(domain, "APART", ())]
        found += [known, *apart]
    return found


async def ensure_jobs() -> None:
    """Have the periodic jobs in the database."""
    for domain in DOMAINS:
        for kind, seconds in domain.PERIODIC.items():
            await ensure_periodic(kind, kind, every_seconds=seconds)
