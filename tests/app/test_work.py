"""What a worker does: each kind of job has a handler, and those that are due seldom are woken."""

import asyncio
import socket
import threading
from datetime import timedelta
from typing import Any

import pytest

from app import work
from app.settings import Settings
from models.base import now
from models.job import Job

SELDOM = 60.0
"""Seconds from which on a period is no look-out for what others write."""


def test_every_periodic_job_has_a_handler(base_settings: Settings) -> None:
    periodic = {kind for domain in work.MODULES for kind in domain.PERIODIC}
    assert periodic <= work.handlers(base_settings).keys()
    assert work.WOKEN.keys() <= periodic
    assert work.PLACES.keys() <= work.handlers(base_settings).keys()


def test_no_job_is_due_so_often_that_an_idle_worker_is_busy() -> None:
    assert [
        kind
        for domain in work.MODULES
        for kind, seconds in domain.PERIODIC.items()
        if seconds < SELDOM
    ] == []


def test_what_speaks_to_nobody_outside_is_a_job_of_its_own(base_settings: Settings) -> None:
    """Deliveries apart from checks, sweeps apart from analytics: each kind has places of its
    own."""
    kinds = work.handlers(base_settings)
    assert {
        "process-webhook-events",
        "check-repositories",
        "remove-webhooks",
        "sync-connections",
    } <= kinds.keys()
    assert {
        "sweep-deletion",
        "late-sweeps",
        "roll-up-analytics",
        "archive-analytics",
    } <= kinds.keys()
    assert all(count >= 1 for count in work.PLACES.values())


@pytest.mark.usefixtures("database")
async def test_a_worker_pulls_in_what_a_wrong_clock_has_put_off(base_settings: Settings) -> None:
    """Before its dispatcher looks: a day ahead it would not be looked at until then."""
    await Job(
        id="forget-numbers",
        kind="forget-numbers",
        run_at=now() + timedelta(days=1),
        every_seconds=3600,
    ).add()
    stop = asyncio.Event()
    running = asyncio.create_task(work.work(base_settings, stop))
    try:
        async with asyncio.timeout(20):
            while (
                row := await Job.find_by_id("forget-numbers")
            ) is None or row.last_run_at is None:
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await running


@pytest.mark.usefixtures("database")
async def test_names_whose_servers_hang_hold_up_the_lookup_of_no_other(
    base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang, begun, real = threading.Event(), threading.Semaphore(0), socket.getaddrinfo

    def lookup(host: Any, *where: Any, **more: Any) -> Any:
        if host == "hangs.example":
            begun.release()
            hang.wait(60)
        return real("127.0.0.1", *where[:1], **more)

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    running = asyncio.create_task(work.work(base_settings, stop))
    await asyncio.sleep(0)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    hanging = [asyncio.create_task(loop.getaddrinfo("hangs.example", 443)) for _ in range(60)]
    try:
        async with asyncio.timeout(20):
            while (
                begun._value < 6
            ):  # as many as a small machine has threads for, where nobody says how many
                await asyncio.sleep(0.01)
            assert await loop.getaddrinfo("answers.example", 443)
        assert not any(task.done() for task in hanging)
    finally:
        hang.set()
        await asyncio.gather(*hanging)
        stop.set()
        await running
