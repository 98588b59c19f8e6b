"""Jobs: what becomes of one that fails, and of one that another worker has taken over."""

import pytest

from app.jobs import UNREADABLE, Claim, claim, run_one
from app.observability import JOBS
from app.operations.routes import _shown
from models.base import now
from models.job import Job

pytestmark = pytest.mark.usefixtures("database")


async def due(kind: str) -> None:
    await Job.raw().insert_one(Job(id="j", kind=kind, run_at=now()).stored())


async def test_a_job_that_failed_is_tried_again_later() -> None:
    async def handler(_: Claim) -> None:
        raise ValueError("never mind")

    await due("fails")
    assert await run_one({"fails": handler}) is True
    row = await Job.raw().find_one({"_id": "j"})
    assert row is not None
    assert (row["state"], row["lastError"], row["attempts"]) == ("due", "ValueError", 1)
    assert row["runAt"] > now()
    assert await claim(["fails"]) is None


@pytest.mark.parametrize("fails", [False, True])
async def test_what_a_worker_whose_job_was_taken_over_says_of_it_is_not_written(fails: bool) -> None:
    async def handler(_: Claim) -> None:
        await Job.raw().update_one({"_id": "j"}, {"$inc": {"fence": 1}})
        if fails:
            raise ValueError("after the lease was lost")

    await due("lost")
    assert await run_one({"lost": handler}) is True
    row = await Job.raw().find_one({"_id": "j"})
    assert row is not None
    assert (row["state"], "lastError" in row, "leasedBy" in row) == ("due", False, True)


async def test_jobs_are_measured_by_what_came_of_them() -> None:
    async def handler(_: Claim) -> None:
        return

    await due("measured")
    await run_one({"measured": handler})
    counted = [
        sample.labels["outcome"]
        for metric in JOBS.collect()
        for sample in metric.samples
        if sample.name == "satchel_job_seconds_count" and sample.labels["kind"] == "measured"
    ]
    assert counted == ["done"]


async def test_a_row_that_cannot_be_read_is_set_aside_and_the_others_go_on() -> None:
    done = list[str]()

    async def handler(held: Claim) -> None:
        done.append(str(held.job.id))

    await due("odd")
    await Job.raw().update_one({"_id": "j"}, {"$set": {"progress": None}})
    await Job.raw().insert_one(Job(id="good", kind="odd", run_at=now()).stored())
    assert await run_one({"odd": handler}) is True
    row = await Job.raw().find_one({"_id": "j"})
    assert row is not None
    assert (done, row["lastError"], "leasedBy" in row) == (["good"], UNREADABLE, False)
    assert row["runAt"] > now()
    assert _shown(row).last_error == UNREADABLE
