"""Migrations: each step once, in order, under a lease, shown before it is taken."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app import migrations
from app.jobs import claim
from app.jobs.periodic import ensure_periodic
from app.migrations import STEPS, name_of
from app.migrations.step import StepRefused
from models import Activity, Deletion, Migration, User
from models.base import now
from models.job import Job
from scripts.migrate import Busy, plan, take_steps

OLD = {
    "root": "users",
    "by": "test",
    "at": now(),
    "deleted": {"users": 1},
    "nulled": {},
    "final": False,
}


async def test_a_fresh_database_takes_every_step_and_none_twice(
    database: AsyncDatabase[Any],
) -> None:
    assert await take_steps(database) == [(name_of(step), 0) for step in STEPS]
    assert await take_steps(database) == []
    assert await plan(database) == []


async def test_the_ledger_of_the_first_version_gets_its_stages(
    database: AsyncDatabase[Any],
) -> None:
    done, open_ = ObjectId(), ObjectId()
    await database.deletions.insert_many(
        [{**OLD, "_id": done, "swept": True}, {**OLD, "_id": open_, "swept": False}]
    )
    assert [count for _, _, count in await plan(database)] == [2, 0, 0, 0, 0]
    assert (await take_steps(database))[0] == ("s0001_ledger_stages", 2)
    entries = {row["_id"]: row async for row in database.deletions.find()}
    assert (entries[done]["stage"], entries[open_]["stage"]) == ("done", "cascade")
    assert [Deletion.from_stored(row).swept for row in (entries[done], entries[open_])] == [
        True,
        False,
    ]
    assert not any("swept" in row for row in entries.values())


async def test_a_step_is_refused_while_references_do_not_obey_and_taken_after(
    database: AsyncDatabase[Any],
) -> None:
    await Activity(user_id=ObjectId(), app_id="notes", event_type="lost").add()
    with pytest.raises(StepRefused, match="1 references do not obey their policy"):
        await take_steps(database)
    assert await Migration.find_applied() == ["s0001_ledger_stages"]
    await User(id=(await Activity.raw().find_one({}) or {})["userId"]).add()
    assert await take_steps(database) == [(name_of(step), 0) for step in STEPS[1:]]


async def test_people_days_get_stamps_and_keep_those_that_they_have(
    database: AsyncDatabase[Any],
) -> None:
    stamp = ObjectId()
    await database.peopledays.insert_many(
        [{"_id": "old", "sets": {}}, {"_id": "new", "sets": {}, "stamp": stamp}]
    )
    assert ("s0003_people_stamps", 1) in await take_steps(database)
    stamps = {row["_id"]: row["stamp"] async for row in database.peopledays.find()}
    assert stamps["new"] == stamp
    assert isinstance(stamps["old"], ObjectId)


async def test_the_index_that_allowed_one_challenge_per_recipient_goes(
    database: AsyncDatabase[Any],
) -> None:
    await database.phoneotps.create_index({"subject": 1}, unique=True)
    assert ("s0004_own_challenges", 1) in await take_steps(database)
    assert "subject_1" not in await database.phoneotps.index_information()
    await database.phoneotps.insert_many([{"_id": "a"}, {"_id": "b"}])
    assert await database.phoneotps.count_documents({}) == 2


async def test_two_processes_do_not_take_steps_at_once(database: AsyncDatabase[Any]) -> None:
    await ensure_periodic("migrate", "migrate", every_seconds=0)
    held = await claim(["migrate"])
    assert held is not None
    with pytest.raises(Busy, match=r"if it has died, its lease ends in \d+ s"):
        await take_steps(database)
    assert await Migration.find_applied() == []
    await held.finish()
    assert len(await take_steps(database)) == len(STEPS)


async def test_a_damaged_lease_on_taking_steps_is_told_as_what_it_is(
    database: AsyncDatabase[Any],
) -> None:
    await ensure_periodic("migrate", "migrate", every_seconds=0)
    await database.jobs.update_one({"_id": "migrate"}, {"$set": {"progress": None}})
    for _ in range(2):
        with pytest.raises(Busy, match="the row `migrate` of `jobs` is damaged: remove it"):
            await take_steps(database)
    await database.jobs.delete_one({"_id": "migrate"})
    assert len(await take_steps(database)) == len(STEPS)


async def test_steps_are_taken_where_the_clock_was_put_back_since_the_job_was_made(
    database: AsyncDatabase[Any],
) -> None:
    ahead = now() + timedelta(seconds=30)
    await Job(id="migrate", kind="migrate", run_at=ahead, every_seconds=0).add()
    assert len(await take_steps(database)) == len(STEPS)


async def test_a_step_that_was_cut_short_is_taken_again(
    database: AsyncDatabase[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    async def apply(_database: Any, _claim: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return 7

    monkeypatch.setattr(
        migrations, "STEPS", (SimpleNamespace(__name__="steps.s9", __doc__="A step.", apply=apply),)
    )
    with pytest.raises(KeyboardInterrupt):
        await take_steps(database)
    assert await Migration.find_applied() == []
    assert await take_steps(database) == [("s9", 7)]
