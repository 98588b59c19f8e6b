from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.jobs import run_one
from app.relations.delete import sweep_again
from app.work import HOOKS, ensure_jobs, handlers
from models import Deletion, Job
from models.base import now
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.deletions import EVENT, add_activities, ledger_of, orphans_of
from tests.harness import Api


async def furnish(cast: Cast) -> dict[str, int]:
    """Give the owner something of everything."""
    for number in range(3):
        await cast.owner.post(
            "/v1/users/me/activity", json={"appId": "notes", "eventType": f"t{number}"}
        )
        await cast.owner.put(f"/v1/users/me/apps/notes/data/k{number}", json=number)
    await cast.owner.delete("/v1/users/me/apps/notes/data/k0")
    await cast.owner.post("/v1/analytics/events", json=[EVENT, EVENT])
    return {
        "users": 1,
        "profiles": 1,
        "preferences": 1,
        "activities": 3,
        "appdata": 3,
        "analytics": 2,
    }


async def test_plan_counts_what_the_receipt_then_says(cast: Cast) -> None:
    expected = await furnish(cast)
    plan = (await cast.owner.get("/v1/users/me/deletion-plan")).json()
    assert plan == {"id": cast.owner.id, "deleted": expected, "nulled": {}, "blockers": []}

    receipt = await cast.owner.delete("/v1/users/me")
    assert receipt.status_code == 200
    assert receipt.json() | {"at": "?"} == {
        "id": cast.owner.id,
        "deleted": expected,
        "nulled": {},
        "at": "?",
        "final": False,
    }
    assert await orphans_of(ObjectId(cast.owner.id)) == {}


async def test_others_keep_what_is_theirs(cast: Cast) -> None:
    await furnish(cast)
    await cast.stranger.put("/v1/users/me/apps/notes/data/k", json=1)
    await cast.owner.delete("/v1/users/me")
    assert (await cast.stranger.get("/v1/users/me/apps/notes/data/k")).json() == 1
    assert (await cast.stranger.get("/v1/users/me/complete")).status_code == 200


async def test_a_deleted_user_is_gone_for_everyone_and_the_email_is_free(cast: Cast) -> None:
    await furnish(cast)
    await cast.owner.delete("/v1/users/me")
    assert (await cast.admin.delete(f"/v1/users/{cast.owner.id}")).status_code == 404
    for path in (
        "",
        "/profile",
        "/preferences",
        "/complete",
        "/activity",
        "/apps/notes/data",
        "/apps/notes/data/k1",
    ):
        answer = await cast.admin.get(f"/v1/users/{cast.owner.id}{path}")
        assert (path, answer.status_code) == (path, 404)
    again = await cast.admin.post("/v1/users", json={"email": "owner@example.com"})
    assert again.status_code == 201


async def test_ledger_holds_nothing_about_the_person(
    cast: Cast, database: AsyncDatabase[Any]
) -> None:
    await furnish(cast)
    await cast.owner.delete("/v1/users/me")
    row = await database["deletions"].find_one({"_id": ObjectId(cast.owner.id)})
    assert row is not None
    assert set(row) == {
        "_id", "root", "by", "at", "deleted", "nulled", "stage", "final", "nextSweepAt",
        "createdAt", "updatedAt", "version",
    }  # fmt: skip
    assert row["by"] == f"user:{cast.owner.id}"


async def test_large_tree_is_answered_202_and_finished_by_a_worker(
    make_api: MakeApi, cast: Cast
) -> None:
    api = await make_api(deletion_small_tree=10, deletion_inline_seconds=0)
    await add_activities(ObjectId(cast.owner.id), 2500)
    started = await api.token(cast.owner.id).delete("/v1/users/me")
    assert (started.status_code, started.json()) == (202, {"jobId": cast.owner.id})
    assert (await api.token(cast.owner.id).get("/v1/users/me")).status_code == 404
    assert (await api.token(cast.owner.id).get("/v1/users/me/activity")).status_code == 404

    where = f"/v1/admin/jobs/{cast.owner.id}"
    assert (await api.caller(cast.admin.credential).get(where)).json()["state"] == "due"
    while await run_one(handlers(api.settings)):
        pass
    job = (await api.caller(cast.admin.credential).get(where)).json()
    assert (job["state"], job["lastError"]) == ("done", None)
    assert await orphans_of(ObjectId(cast.owner.id)) == {}
    assert (await ledger_of(ObjectId(cast.owner.id))).deleted["activities"] == 2500


async def test_large_tree_within_the_inline_time_is_answered_200(
    make_api: MakeApi, cast: Cast
) -> None:
    api = await make_api(deletion_small_tree=10, deletion_inline_seconds=30)
    await add_activities(ObjectId(cast.owner.id), 1500)
    receipt = await api.token(cast.owner.id).delete("/v1/users/me")
    assert receipt.status_code == 200
    assert receipt.json()["deleted"]["activities"] == 1500
    assert await Job.raw().count_documents({"_id": ObjectId(cast.owner.id)}) == 0


async def test_process_that_dies_after_the_commit_leaves_the_rest_to_a_worker(
    make_api: MakeApi, cast: Cast
) -> None:
    api = await make_api(deletion_small_tree=10, deletion_inline_seconds=0)
    await add_activities(ObjectId(cast.owner.id), 1200)
    await api.token(cast.owner.id).delete("/v1/users/me")
    await Job.raw().update_one(
        {"_id": ObjectId(cast.owner.id)}, {"$set": {"runAt": now(), "leasedBy": "dead"}}
    )
    assert await run_one(handlers(api.settings))
    assert await orphans_of(ObjectId(cast.owner.id)) == {}


async def test_late_sweeps_make_receipts_final_and_stop_after_thirty_days(
    api: Api, cast: Cast
) -> None:
    await furnish(cast)
    await cast.owner.delete("/v1/users/me")
    await ensure_jobs()
    while await run_one(handlers(api.settings)):
        pass
    ledger = await ledger_of(ObjectId(cast.owner.id))
    assert ledger.final
    assert ledger.next_sweep_at is not None
    assert 86_000 < (ledger.next_sweep_at - ledger.at).total_seconds() < 87_000

    await Deletion.raw().update_one(
        {"_id": ledger.id}, [{"$set": {"at": {"$subtract": ["$at", 30 * 86_400_000]}}}]
    )
    await sweep_again([await ledger_of(ledger.id)], api.settings, HOOKS)
    assert (await ledger_of(ledger.id)).next_sweep_at is None
