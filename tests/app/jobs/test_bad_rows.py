"""Rows that no version could read, planted where the worker's loops come by: the sound ones behind
them go on."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.jobs import Claim, claim, run_one
from app.jobs.periodic import ensure_periodic, mend, pull_in
from models.app_data import AppData
from models.app_data_expiry import expire_due, next_expiry
from models.aside import SET_ASIDE
from models.base import Raw, Stored, now
from models.card_queue import CardQueue
from models.job import Job
from tests.factories.damage import DAMAGE, MISSING

pytestmark = pytest.mark.usefixtures("database")

USER, PAST = ObjectId(), timedelta(seconds=5)
ODD: dict[str, Any] = {"null": None, "text": "x", "list": ["a"], "absent": ...}


def planted(row: Raw, field: str, odd: Any) -> Raw:
    """The row with something odd in a field."""
    rest = {name: value for name, value in row.items() if name != field}
    return rest if odd is ... else {**rest, field: odd}


def aside_of(document: type[Stored]) -> float:
    return SET_ASIDE.labels(document.collection_name())._value.get()


@pytest.mark.parametrize(
    "field", ["progress", "fence", "attempts", "createdAt", "everySeconds", "version"]
)
@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_job_at_the_head_stops_no_other(field: str, odd: str) -> None:
    done = list[str]()

    async def handler(held: Claim) -> None:
        done.append(str(held.job.id))

    row = Job(id="odd", kind="k", run_at=now() - PAST).stored() | {"everySeconds": 60.0}
    await Job.raw().insert_one(planted(row, field, ODD[odd]))
    await Job.raw().insert_one(Job(id="good", kind="k", run_at=now()).stored())
    while await run_one({"k": handler}):
        pass
    assert "good" in done
    odd_row = await Job.raw().find_one({"_id": "odd"})
    assert odd_row is not None
    assert odd_row["runAt"] > now() or odd_row["state"] == "done", "it is not at the head any more"
    assert "leasedBy" not in odd_row


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("field", ["state", "runAt"])
async def test_a_job_that_nobody_could_claim_is_made_due(field: str, kind: str) -> None:
    odd = DAMAGE[kind] if DAMAGE[kind] is not MISSING else ...
    row = Job(id="odd", kind="k", run_at=now() - PAST, every_seconds=60.0).stored()
    await Job.raw().insert_one(planted(row, field, odd))
    await Job.raw().insert_one(Job(id="good", kind="k", run_at=now() + PAST).stored())
    await mend()
    held = await claim(["k"])
    if (field, kind) == ("state", "text"):  # of a later version, perhaps
        assert held is None
    else:
        assert held is not None
        assert held.job.id == "odd"
    good = await Job.raw().find_one({"_id": "good"}) or {}
    assert good["runAt"] > now()


async def test_a_periodic_job_that_had_lost_its_period_comes_again() -> None:
    async def handler(_: Claim) -> None:
        pass

    await ensure_periodic("a", "k", 60.0)
    await Job.raw().update_one({"_id": "a"}, {"$unset": {"everySeconds": ""}})
    await run_one({"k": handler})
    assert (await Job.raw().find_one({"_id": "a"}) or {})["state"] == "done"
    await ensure_periodic("a", "k", 60.0)
    assert await run_one({"k": handler})
    assert (await Job.raw().find_one({"_id": "a"}) or {})["state"] == "due"


async def test_a_job_whose_kind_is_a_list_is_set_aside() -> None:
    await Job.raw().insert_one(Job(id="odd", kind="k", run_at=now()).stored() | {"kind": ["k"]})
    assert await claim(["k"]) is None
    assert "lastError" in (await Job.raw().find_one({"_id": "odd"}) or {})


async def test_any_number_of_odd_jobs_is_stepped_over_at_once() -> None:
    rows = [
        Job(id=f"odd{n}", kind="k", run_at=now() - PAST).stored() | {"progress": None}
        for n in range(1_100)
    ]
    await Job.raw().insert_many(rows)
    await Job.raw().insert_one(Job(id="good", kind="k", run_at=now()).stored())
    held = await claim(["k"])
    assert held is not None
    assert held.job.id == "good"


@pytest.mark.parametrize(
    "odd", ["x", float("nan"), 1e300, [1]], ids=["text", "nan", "huge", "list"]
)
async def test_a_period_that_is_none_keeps_no_job_from_being_pulled_in(odd: Any) -> None:
    ahead = now() + timedelta(days=1)
    await Job.raw().insert_one(Job(id="a", kind="k", run_at=ahead).stored() | {"everySeconds": odd})
    await ensure_periodic("b", "k", 1.0)
    await Job.raw().update_one({"_id": "b"}, {"$set": {"runAt": ahead}})
    await pull_in()
    row = await Job.raw().find_one({"_id": "b"})
    assert row is not None
    assert row["runAt"] <= now()


@pytest.mark.parametrize("field", ["last", "done", "fence", "createdAt"])
@pytest.mark.parametrize("odd", ["null", "text"])
async def test_an_odd_queue_at_the_head_stops_no_other(field: str, odd: str) -> None:
    row = CardQueue(
        id=ObjectId(), account_id=ObjectId(), waiting=1, last=1, due_at=now() - PAST
    ).stored()
    await CardQueue.raw().insert_one(planted(row, field, ODD[odd]))
    good = CardQueue(id=ObjectId(), account_id=ObjectId(), waiting=1, last=1, due_at=now())
    await CardQueue.raw().insert_one(good.stored())
    claimed = [found.id async for found in _all_queues()]
    assert good.id in claimed
    assert len(claimed) == (2 if field == "fence" else 1)


async def _all_queues() -> Any:
    while (queue := await CardQueue.claim()) is not None:
        yield queue


@pytest.mark.parametrize("version", ["x", None, ...], ids=["text", "null", "absent"])
@pytest.mark.parametrize("place", [0, 3, 6])
async def test_a_value_that_cannot_expire_keeps_no_other(version: Any, place: int) -> None:
    over = now() - PAST
    for number in range(7):
        await AppData.put(
            USER,
            "notes",
            f"k{number}",
            1,
            size=1,
            by="x",
            expires_at=over + timedelta(milliseconds=number),
        )
    bad = await AppData.raw().find_one({"dataKey": f"k{place}"})
    assert bad is not None
    await AppData.raw().replace_one({"_id": bad["_id"]}, planted(bad, "version", version))
    before = aside_of(AppData)
    while await expire_due(3):
        pass
    expired = await AppData.raw().distinct("dataKey", {"deleted": True})
    can = version != "x"
    assert sorted(expired) == [f"k{number}" for number in range(7) if can or number != place]
    assert (
        aside_of(AppData) - before,
        await AppData.find_envelope(USER, "notes", f"k{place}"),
    ) == (not can, None)
    assert {
        row["version"]
        async for row in AppData.raw().find({"deleted": True, "_id": {"$ne": bad["_id"]}})
    } == {2}
    assert await AppData.raw().count_documents({"setAsideUntil": {"$gt": now()}}) == (not can)


async def test_values_that_are_due_expire_by_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        await AppData.put(USER, "notes", f"k{number}", 1, size=1, by="x", expires_at=now() - PAST)
    collection, commands = AppData.raw(), list[str]()

    class Noting:
        def __getattr__(self, name: str) -> Any:
            commands.append(name)
            return getattr(collection, name)

    monkeypatch.setattr(AppData, "raw", Noting)
    assert await expire_due(7) == 7
    assert commands == ["find", "update_many"]


async def test_a_value_that_was_set_aside_is_tried_again_once_it_is_mended() -> None:
    await AppData.put(USER, "notes", "k", 1, size=1, by="x", expires_at=now() - PAST)
    await AppData.raw().update_one({"dataKey": "k"}, {"$set": {"version": "x"}})
    assert [await expire_due(9), await expire_due(9)] == [1, 0]
    assert await next_expiry() is None, "the job is not due again and again for it"
    await AppData.raw().update_one(
        {"dataKey": "k"}, {"$set": {"version": 4, "setAsideUntil": now()}}
    )
    assert await expire_due(9) == 1
    row = await AppData.raw().find_one({"dataKey": "k"})
    assert row is not None
    assert (row["deleted"], row["version"], "setAsideUntil" in row) == (True, 5, False)
