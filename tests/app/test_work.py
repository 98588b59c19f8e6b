"""What a worker does: each kind of job has a handler, and those that are due seldom are woken."""

from app import work
from app.settings import Settings

SELDOM = 60.0
"""Seconds from which on a period is no look-out for what others write."""


def test_every_periodic_job_has_a_handler(base_settings: Settings) -> None:
    periodic = {kind for domain in work.DOMAINS for kind in domain.PERIODIC}
    assert periodic <= work.handlers(base_settings).keys()
    assert work.WOKEN.keys() <= periodic
    assert work.PLACES.keys() <= work.handlers(base_settings).keys()


def test_no_job_is_due_so_often_that_an_idle_worker_is_busy() -> None:
    assert [kind for domain in work.DOMAINS for kind, seconds in domain.PERIODIC.items() if seconds < SELDOM] == []


def test_what_speaks_to_nobody_outside_is_a_job_of_its_own(base_settings: Settings) -> None:
    """Deliveries apart from checks, sweeps apart from analytics: each kind has places of its own."""
    kinds = work.handlers(base_settings)
    assert {"process-webhook-events", "check-repositories", "remove-webhooks", "sync-connections"} <= kinds.keys()
    assert {"sweep-deletion", "late-sweeps", "roll-up-analytics", "archive-analytics"} <= kinds.keys()
    assert all(count >= 1 for count in work.PLACES.values())
