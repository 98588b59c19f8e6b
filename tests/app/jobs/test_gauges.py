"""What a worker measures of the database: the backlog of jobs, how old it is, and how far the
rollups are behind."""

from datetime import timedelta
from typing import Any

import pytest

from app.analytics.lag import measure_lag
from app.jobs.gauges import OTHER, job_backlog
from models.analytics import Analytics
from models.base import now
from models.job import Job
from models.rollup_state import RollupState
from tests.app.measured import counted

COUNT, AGE, LAG = (
    "satchel_jobs_due",
    "satchel_jobs_oldest_due_seconds",
    "satchel_rollup_lag_seconds",
)
pytestmark = pytest.mark.usefixtures("database")


async def job(name: str, kind: str, **fields: Any) -> None:
    run_at = now() + timedelta(hours=fields.pop("hours", -1))
    await Job.raw().insert_one(Job(id=name, kind=kind, run_at=run_at, **fields).stored())


async def test_jobs_that_are_due_are_counted_by_kind_and_none_that_a_worker_has() -> None:
    for name, hours in (("a", -2), ("b", -1), ("c", 1)):
        await job(name, "known", hours=hours)
    await job("d", "known", hours=-9, leased_until=now() + timedelta(seconds=20))
    await job("e", "known", hours=-9, state="done")
    await job("f", "of another version", leased_until=now() - timedelta(seconds=20))
    backlog = job_backlog(["known", "idle"])
    await backlog.measure()
    shown = {kind: counted(COUNT, kind=kind) for kind in ("known", "idle", OTHER)}
    ages = {kind: round(counted(AGE, kind=kind) / 3600) for kind in shown}
    assert (shown, ages) == (
        {"known": 2, "idle": 0, OTHER: 1},
        {"known": 2, "idle": 0, OTHER: 1},
    )
    await Job.raw().delete_many({})
    await backlog.measure()
    assert {counted(COUNT, kind=kind) + counted(AGE, kind=kind) for kind in shown} == {0}


async def test_rollups_lag_by_the_first_event_that_they_do_not_contain() -> None:
    await measure_lag()
    assert counted(LAG) == 0
    await RollupState.ensure()
    rows = [{"receivedAt": now() - timedelta(hours=hours)} for hours in (9, 3, 2)]
    await Analytics.raw().insert_many(rows)
    as_of = {"$set": {"asOf": now() - timedelta(hours=4)}}
    await RollupState.raw().update_one({"_id": "rollups"}, as_of)
    await measure_lag()
    assert round(counted(LAG) / 3600) == 3
