"""Jobs: what becomes of one that fails, and of one that another worker has taken over."""

from datetime import timedelta

import pytest
from pymongo.errors import AutoReconnect

from app.analytics.archive.files import DamagedArchiveError
from app.database.turns import AlwaysOvertaken
from app.errors import Unavailable
from app.errors.sentences import sentence_of
from app.jobs import UNREADABLE, Claim, claim, run_one
from app.operations.routes import _shown
from app.web.observability.measures import JOBS
from indexes.definitions import INDEXES
from models.base import now
from models.job import Job

UNFORESEEN = "it failed in a way that was not foreseen; the worker's log says where (ValueError)"
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
    assert (row["state"], row["lastError"], row["attempts"]) == ("due", UNFORESEEN, 1)
    assert row["runAt"] > now()
    assert await claim(["fails"]) is None


async def test_what_others_were_in_the_way_of_is_tried_again_soon_however_often_it_failed() -> None:
    """One of them may have been killed within a transaction, which stays open for a minute."""

    async def overtaken(_: Claim) -> None:
        raise AlwaysOvertaken("others were faster")

    async def refused(_: Claim) -> None:
        raise Unavailable("the sender does not answer")

    await due("k")
    for handler, longest in ((overtaken, 5), (refused, 600)):
        await Job.raw().update_one({"_id": "j"}, {"$set": {"attempts": 5, "runAt": now()}})
        assert await run_one({"k": handler}) is True
        row = await Job.raw().find_one({"_id": "j"})
        assert row is not None
        assert longest / 10 < (row["runAt"] - now()).total_seconds() < longest


@pytest.mark.parametrize("fails", [False, True])
async def test_what_a_worker_whose_job_was_taken_over_says_of_it_is_not_written(
    fails: bool,
) -> None:
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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("ann@example.com"), UNFORESEEN),
        (
            AutoReconnect("10.0.0.1:27017"),
            "the database did not do what it was asked to (AutoReconnect)",
        ),
        (TimeoutError(), "it took too long (TimeoutError)"),
        (
            PermissionError(13, "Permission denied", "/secret/ann"),
            "a file or a connection failed: Permission denied (PermissionError)",
        ),
        (Unavailable("no code can be sent now"), "no code can be sent now (Unavailable)"),
        (DamagedArchiveError("a.zst was damaged"), "a.zst was damaged (DamagedArchiveError)"),
    ],
    ids=["any", "database", "timeout", "file", "problem", "archive"],
)
def test_what_is_said_of_a_failure_is_a_sentence_without_foreign_words(
    error: Exception, said: str
) -> None:
    assert sentence_of(error) == said


async def test_a_job_that_is_taken_over_from_a_dead_worker_says_whose_it_was() -> None:
    await due("dies")
    assert await claim(["dies"]) is not None
    assert await claim(["dies"]) is None, "the lease of the dead one holds"
    await Job.raw().update_one(
        {"_id": "j"}, {"$set": {"leasedUntil": now() - timedelta(seconds=1)}}
    )
    held = await claim(["dies"])
    assert held is not None
    assert held.job.taken_from == held.job.leased_by
    row = await Job.raw().find_one({"_id": "j"})
    assert row is not None
    assert _shown(row).taken_from == held.job.leased_by
    await held.finish()
    assert "takenFrom" not in (await Job.raw().find_one({"_id": "j"}) or {})


async def test_only_jobs_that_are_done_are_cleaned_up() -> None:
    async def handler(_: Claim) -> None:
        return

    (kept,) = [index for index in INDEXES[Job] if "expireAfterSeconds" in index.options]
    await due("once")
    await Job.raw().insert_one(
        Job(id="again", kind="once", run_at=now(), every_seconds=60).stored()
    )
    while await run_one({"once": handler}):
        pass
    ends = {"lastRunAt": {"$lte": now()}, **kept.options["partialFilterExpression"]}
    assert [row["_id"] async for row in Job.raw().find(ends)] == ["j"]
