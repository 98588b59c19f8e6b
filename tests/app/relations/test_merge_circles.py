"""Two people who were merged into each other, which no merge makes: nobody goes round in circles,
nothing that is theirs goes, and the audit names them."""

from typing import Any

import pytest
from bson import ObjectId

from app.jobs import run_one
from app.relations import jobs
from app.relations.delete import sweep_again
from app.relations.merging.circles import check_merges
from app.work import HOOKS
from models.base import Raw, now
from models.deletion import Deletion
from models.integrity import IntegrityScan
from models.job import Job
from models.person import PersonMerge
from models.unreadable import Unreadable
from tests.cast import Cast
from tests.factories.deletions import add_activities, ledger_of, orphans_of
from tests.harness import Api


async def lead(source: ObjectId, into: Any) -> None:
    told = {"$unset": {"into": ""}} if into is None else {"$set": {"into": into}}
    await Deletion.raw().update_one({"_id": source}, told)


@pytest.fixture
async def circle(cast: Cast) -> tuple[ObjectId, ObjectId]:
    """The owner and the stranger, each merged into the other, and activities that are left."""
    owner, stranger = ObjectId(cast.owner.id), ObjectId(cast.stranger.id)
    for each in (cast.owner, cast.stranger):
        assert (await each.delete("/v1/users/me")).status_code == 200
    await lead(owner, stranger)
    await lead(stranger, owner)
    await add_activities(owner, 3)
    return owner, stranger


async def test_nobody_is_who_was_merged_in_a_circle(
    cast: Cast, circle: tuple[ObjectId, ObjectId]
) -> None:
    for each in circle:
        assert (await cast.admin.get(f"/v1/users/{each}")).status_code == 404
        body = {"into": str(ObjectId()), "keep": "target"}
        assert (await cast.admin.post(f"/v1/users/{each}/merge", json=body)).status_code == 404


@pytest.mark.parametrize("odd", ["x", 7, {"a": 1}, [ObjectId()], ""])
async def test_nobody_is_merged_into_what_is_no_id(cast: Cast, odd: Any) -> None:
    await cast.owner.delete("/v1/users/me")
    owner = ObjectId(cast.owner.id)
    await lead(owner, odd)
    with pytest.raises(Unreadable):
        await Deletion.merged_into(owner)
    assert (await cast.admin.get(f"/v1/users/{owner}")).status_code == 404
    named = {"kind": "malformed", "id": str(owner), "parentId": str(odd)}
    assert (await check_merges())[0].samples == [named]


async def test_what_is_left_of_them_stays_until_the_circle_is_broken(
    api: Api, circle: tuple[ObjectId, ObjectId]
) -> None:
    owner, stranger = circle
    with pytest.raises(Unreadable):
        await sweep_again([await ledger_of(owner)], api.settings, HOOKS)
    assert (await orphans_of(owner))["activities"] == 3
    await lead(stranger, None)
    await sweep_again([await ledger_of(owner)], api.settings, HOOKS)
    assert await orphans_of(owner) == {}, "it goes, as the one whom they were merged into is gone"


async def test_their_sweep_is_put_off_and_keeps_no_other(
    api: Api, cast: Cast, circle: tuple[ObjectId, ObjectId]
) -> None:
    gone = ObjectId()
    fields: Raw = {"root": "users", "by": "x", "at": now(), "stage": "done", "final": False}
    await Deletion.raw().insert_one({"_id": gone, **fields})
    await add_activities(gone, 2)
    await Deletion.raw().update_many({}, {"$set": {"nextSweepAt": now()}})
    await Job.raw().insert_one(Job(id="late-sweeps", kind="late-sweeps", run_at=now()).stored())
    assert await run_one(jobs.handlers(api.settings, HOOKS))
    assert "lastError" not in (await Job.raw().find_one({"_id": "late-sweeps"}) or {})
    assert (await orphans_of(gone), (await orphans_of(circle[0]))["activities"]) == ({}, 3)
    assert (await ledger_of(circle[0])).next_sweep_at > now()


async def test_the_audit_names_every_merge_that_leads_into_a_circle(
    cast: Cast, circle: tuple[ObjectId, ObjectId]
) -> None:
    owner, stranger = circle
    ids = [ObjectId() for _ in range(4)]
    into = [owner, ids[0], ObjectId(), ids[3]]  # two lead into it; one has an end; one is its own
    entries = [
        {"_id": each, "root": "users", "by": "x", "at": now(), "into": target}
        for each, target in zip(ids, into, strict=True)
    ]
    await Deletion.raw().insert_many(entries)
    await PersonMerge.raw().insert_many(
        [{"_id": 1, "into": 2}, {"_id": 2, "into": 1}, {"_id": 3, "into": 4}]
    )
    people, numbers = await check_merges()
    expected = {str(each) for each in (owner, stranger, ids[0], ids[1], ids[3])}
    assert (people.id, people.scanned, people.unreadable) == ("deletions.into", 6, 5)
    assert {(each["kind"], each["id"]) for each in people.samples} == {
        ("circle", each) for each in expected
    }
    assert (numbers.id, numbers.scanned, numbers.unreadable) == ("personmerges.into", 3, 2)
    shown = (await cast.admin.get("/v1/admin/integrity")).json()["scans"]
    assert {each["id"]: each["unreadable"] for each in shown}["deletions.into"] == 5
    assert len(await IntegrityScan.find_all_scans()) == 2
