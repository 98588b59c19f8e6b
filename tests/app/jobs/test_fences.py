"""Who was stopped past a lease and wakes writes no more: what the one that took over has written
stands."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pydantic import SecretStr

from app.analytics import jobs as analytics
from app.analytics.rollup import joins
from app.analytics.rollup.joins import carry_out_joins
from app.analytics.rollup.undo import UNDO
from app.jobs import Claim, LostClaim, claim
from app.outside.client import TryLater
from app.outside.keyring import load_keyring
from app.outside.links import remove_due
from app.relations import jobs as deletion_jobs
from app.relations import sweep as sweeps
from app.relations.delete import delete_root, sweep_again
from app.settings import Settings
from app.work import HOOKS
from models import aside
from models.activity import Activity
from models.base import Raw, now
from models.card_queue import CardQueue
from models.deletion import Deletion, Stage
from models.job import Job
from models.outside_link import OutsideLink
from models.person import IdentityJoin
from models.rollup_state import RollupState
from models.user import User

pytestmark = pytest.mark.usefixtures("database")

PAST = timedelta(seconds=5)


async def only(document: Any) -> Raw:
    (row,) = await document.raw().find({}).to_list()
    return dict(row)


async def run_out(document: Any, field: str) -> None:
    """Have the lease of the one row end now, as it does while its holder is stopped."""
    await document.raw().update_one({}, {"$set": {field: now() - PAST}})


async def a_link(settings: Settings, created_days_ago: int = 0) -> None:
    row: Raw = {"_id": ObjectId(), "userId": ObjectId()}
    place = OutsideLink.place_in(
        {"kind": "bank", "originId": row["_id"], "ownerId": row["userId"]}, "access_token"
    )
    row["accessToken"] = load_keyring(settings).seal(SecretStr("token"), place).stored()
    await OutsideLink.add_all([OutsideLink.of("bank", row, "userId", {})], None)
    past = {"nextAttemptAt": now() - PAST, "createdAt": now() - timedelta(days=created_days_ago)}
    await OutsideLink.raw().update_one({}, {"$set": past})


@pytest.mark.parametrize("ends", ["refused", "gone", "odd", "given up"])
async def test_who_was_stopped_while_it_removed_a_link_notes_nothing(
    ends: str, base_settings: Settings
) -> None:
    await a_link(base_settings, created_days_ago=40 if ends == "given up" else 0)
    keyring = load_keyring(base_settings)

    async def stopped(_: OutsideLink, __: str) -> None:
        await OutsideLink.raw().update_one(
            {}, {"$set": {"nextAttemptAt": now() + timedelta(seconds=61)}}
        )
        taken_over = OutsideLink.from_stored(await only(OutsideLink))
        assert await taken_over.put_off(now() + timedelta(hours=2), "theirs")
        if ends == "odd":
            raise LookupError
        if ends != "gone":
            raise TryLater("mine")

    assert await remove_due("bank", stopped, keyring) == 0
    row = await only(OutsideLink)
    assert (row["attempts"], row["lastError"]) == (1, "theirs")
    assert row["nextAttemptAt"] > now() + timedelta(hours=1)


async def test_a_claimed_link_is_nobody_elses_until_its_lease_ends(base_settings: Settings) -> None:
    await a_link(base_settings)
    held = await OutsideLink.claim("bank")
    assert held is not None
    assert await OutsideLink.claim("bank") is None
    await run_out(OutsideLink, "nextAttemptAt")
    assert await OutsideLink.claim("bank") is not None
    assert (await held.remove(), await held.put_off(now(), "x")) == (False, False)


@pytest.mark.parametrize("found", [False, True], ids=["clean", "late"])
async def test_who_was_stopped_in_a_late_sweep_makes_no_receipt_final(
    found: bool, base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had found nothing; the one that took over has found something, and comes by again after
    the fence."""
    entry = Deletion(
        id=ObjectId(), root="users", by="x", at=now(), next_sweep_at=now() - PAST, stage=Stage.DONE
    )
    await entry.add()
    await Job.raw().insert_one(Job(id="late-sweeps", kind="late-sweeps", run_at=now()).stored())
    held = await claim(["late-sweeps"])
    assert held is not None
    run = sweeps.Pass.run

    async def stopped(self: sweeps.Pass, stage: Stage) -> int:
        swept = await run(self, stage)
        if stage is Stage.RELEASE and found:
            monkeypatch.undo()
            await run_out(Job, "leasedUntil")
            other = await claim(["late-sweeps"])
            assert other is not None
            await Activity.raw().insert_one({"userId": entry.id})
            assert await sweep_again([entry], base_settings, HOOKS, hold=other.hold) == 1
        return swept

    monkeypatch.setattr(sweeps.Pass, "run", stopped)
    handler = deletion_jobs.handlers(base_settings, HOOKS)["late-sweeps"]
    if found:
        with pytest.raises(LostClaim):
            await handler(held)
    else:
        await handler(held)
    row = await only(Deletion)
    assert row["final"] is not found
    assert (row["nextSweepAt"] - now() > timedelta(hours=1)) is not found


async def test_a_sweep_that_was_stopped_takes_no_entry_back() -> None:
    entry = Deletion(id=ObjectId(), root="users", by="x", at=now(), stage=Stage.DONE)
    await entry.add()
    await Deletion.move_on([entry.id], Stage.CASCADE, Stage.RELEASE)
    assert (await only(Deletion))["stage"] == "done"
    await Deletion.begin_again(ObjectId(entry.id))
    await Deletion.move_on([entry.id], Stage.CASCADE, Stage.RELEASE)
    assert (await only(Deletion))["stage"] == "release"


@pytest.mark.parametrize("inline", [0.0, 30.0], ids=["not done", "done"])
async def test_a_server_that_was_stopped_in_a_deletion_leaves_the_job_to_the_worker_that_took_it(
    inline: float, base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = base_settings.model_copy(
        update={"deletion_small_tree": 0, "deletion_inline_seconds": inline}
    )
    user = await User().add()
    await Activity.raw().insert_one({"userId": user.id})
    taken: list[Claim] = []
    run = sweeps.Pass.run

    async def stopped(self: sweeps.Pass, stage: Stage) -> int:
        if not taken:
            await run_out(Job, "runAt")
            held = await claim(["sweep-deletion"])
            assert held is not None
            taken.append(held)
        return await run(self, stage)

    monkeypatch.setattr(sweeps.Pass, "run", stopped)
    await delete_root(User, ObjectId(user.id), "x", settings, HOOKS)
    row = await only(Job)
    assert (row["fence"], row["runAt"] < now() - PAST / 2) == (1, True)
    await deletion_jobs.handlers(settings, HOOKS)["sweep-deletion"](taken[0])
    await taken[0].finish()
    assert (await only(Job))["state"] == "done"


async def test_a_recount_that_was_stopped_writes_over_no_later_report(
    base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "recount-analytics"
    await RollupState.ensure()
    await Job.raw().insert_one(Job(id=kind, kind=kind, run_at=now()).stored())
    handler, late = analytics.handlers(base_settings)[kind], await claim([kind])
    assert late is not None

    async def stopped(_: Claim) -> Raw:
        monkeypatch.undo()
        await run_out(Job, "leasedUntil")
        other = await claim([kind])
        assert other is not None
        await handler(other)
        return {"days": 99, "events": 0, "mended": {}}

    monkeypatch.setattr(analytics, "recount_lately", stopped)
    await handler(late)
    report = (await only(RollupState))["lastRecount"]
    assert (report["days"], report["fence"]) == (0, 2)


@pytest.mark.parametrize(
    ("kind", "work"),
    [
        ("archive-analytics", "archive_due"),
        ("archive-analytics", "rewrite_erased"),
        ("recount-analytics", "recount_lately"),
        (UNDO, "undo_joins"),
    ],
)
async def test_what_takes_longer_than_a_lease_keeps_it(
    kind: str, work: str, base_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Job.raw().insert_one(Job(id=kind, kind=kind, run_at=now()).stored())
    held = await claim([kind])
    assert held is not None
    seen = set[Any]()

    async def long(*_: Any, **__: Any) -> Raw:
        async with asyncio.timeout(20):
            while len(seen) < 3:
                seen.add((await only(Job))["leasedUntil"])
                await asyncio.sleep(0.01)
        return {}

    monkeypatch.setattr("app.jobs.CLAIM", timedelta(seconds=0.3))
    monkeypatch.setattr(analytics, work, long)
    await analytics.handlers(base_settings.model_copy(update={"analytics_archive": str(tmp_path)}))[
        kind
    ](held)
    assert len(seen) == 3


async def test_who_was_stopped_puts_nothing_off_that_another_has_moved() -> None:
    queue = CardQueue(id=ObjectId(), account_id=ObjectId(), waiting=1, last=1, due_at=now() - PAST)
    await queue.add()
    moved = now() + timedelta(hours=3)
    await CardQueue.raw().update_one({}, {"$set": {"dueAt": moved}})
    await aside.put_off(queue, "dueAt", ValueError())
    assert (await only(CardQueue))["dueAt"] == moved
    await aside.documents(CardQueue, [{**queue.stored(), "last": None}], aside.later("dueAt"))
    assert (await only(CardQueue))["dueAt"] == moved


async def test_a_join_that_was_said_anew_is_still_due_after_the_one_who_carried_out_the_first_wakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (await User().add(), await User().add())
    said: Raw = {
        "_id": "shop/e:x",
        "appId": "shop",
        "due": True,
        "createdAt": now(),
        "updatedAt": now(),
        "version": 1,
    }
    await IdentityJoin.raw().insert_one(said | {"userId": first.id})
    give = joins._give_events

    async def stopped(join: IdentityJoin, session: Any) -> bool:
        await IdentityJoin.raw().replace_one({"_id": "shop/e:x"}, said | {"userId": second.id})
        monkeypatch.undo()
        return await give(join, session)

    monkeypatch.setattr(joins, "_give_events", stopped)
    await carry_out_joins()
    row = await only(IdentityJoin)
    assert (row["userId"], row.get("due")) == (second.id, True)
    assert await carry_out_joins() == 1
    assert "due" not in await only(IdentityJoin)
