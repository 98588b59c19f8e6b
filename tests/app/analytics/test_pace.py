"""A worker that keeps up with the events lets requests go first; one that does not goes on."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from app.analytics import jobs
from app.settings import Settings
from models.base import Raw, now


class Claimed:
    """A claim that only counts how often it was renewed."""

    renewed = 0

    async def renew(self, **_: Any) -> None:
        self.renewed += 1


@pytest.fixture
def pass_takes(monkeypatch: pytest.MonkeyPatch, database: AsyncDatabase[Raw]) -> Any:
    """Have the passes add so many events each, and take so many seconds."""
    assert database.name

    def make(seconds: float, *added: int) -> None:
        left: Iterator[int] = iter(added)
        clock = iter(float(number) * seconds for number in range(2 * len(added)))

        async def advance(_: timedelta) -> int:
            return next(left)

        async def due(_: timedelta) -> Any:
            return now() - timedelta(seconds=1)

        monkeypatch.setattr(jobs, "_advance", advance)
        monkeypatch.setattr(jobs, "due_next", due)
        monkeypatch.setattr(jobs.time, "perf_counter", lambda: next(clock))

    return make


async def _roll_up(settings: Settings) -> tuple[timedelta, int]:
    """For how long it rests, and how many passes there were."""
    claim: Any = Claimed()
    until = await jobs.handlers(settings)["roll-up-analytics"](claim)
    assert until is not None
    return until - now(), claim.renewed


async def test_a_worker_rests_by_how_long_it_worked(
    base_settings: Settings, pass_takes: Any
) -> None:
    pass_takes(0.5, 10)
    rest, passes = await _roll_up(base_settings)
    assert passes == 1
    assert timedelta(seconds=1) < rest <= timedelta(seconds=2)


async def test_it_never_rests_for_long(base_settings: Settings, pass_takes: Any) -> None:
    pass_takes(60.0, 10)
    rest, _ = await _roll_up(base_settings)
    assert timedelta(seconds=4) < rest <= timedelta(seconds=5)


async def test_it_goes_on_while_windows_are_full(base_settings: Settings, pass_takes: Any) -> None:
    pass_takes(0.5, jobs.WINDOW, jobs.WINDOW, 10)
    _, passes = await _roll_up(base_settings)
    assert passes == 3
