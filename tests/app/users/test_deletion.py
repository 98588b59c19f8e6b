"""Deleting a user: the plan, the receipt, and what is left afterwards, which is nothing."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from bson import ObjectId

from app.relations.delete import sweep_again
from app.work import HOOKS
from models import DOCUMENTS
from models.activity import Activity
from models.base import now, rfc3339
from models.deletion import Deletion
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Api, Caller, version_of

EXPECTED = {
    "users": 1,
    "profiles": 1,
    "preferences": 1,
    "activities": 2,
    "appdata": 3,
    "analytics": 1,
}


async def live_a_little(owner: Caller) -> None:
    for key in ("a", "b", "gone"):
        await owner.put(f"/v1/users/me/apps/notes/data/{key}", json={"secret": "remembered"})
    await owner.delete("/v1/users/me/apps/notes/data/gone")
    await owner.post("/v1/users/me/activity", json={"appId": "notes", "eventType": "opened"})
    await owner.post("/v1/users/me/logins", json={"appId": "notes"})


async def traces(user_id: str) -> dict[str, int]:
    """How many documents of each collection name the user, the ledgers and the job aside."""
    found = {}
    for document in DOCUMENTS:
        name = document.collection_name()
        where = {
            "$or": [
                {"_id": ObjectId(user_id)},
                {"userId": ObjectId(user_id)},
                {"resourceId": ObjectId(user_id)},
            ]
        }
        count = await document.raw().count_documents(where)
        if count and name not in ("deletions", "jobs", "erasures"):
            found[name] = count
    return found


async def test_the_plan_says_what_would_go_and_changes_nothing(cast: Cast) -> None:
    await live_a_little(cast.owner)
    plan = await cast.owner.get("/v1/users/me/deletion-plan")
    assert (plan.status_code, plan.json()) == (
        200,
        {"id": cast.owner.id, "deleted": EXPECTED, "nulled": {}, "blockers": []},
    )
    assert await traces(cast.owner.id) == EXPECTED


async def test_the_receipt_says_what_went_and_nothing_is_left(cast: Cast) -> None:
    await live_a_little(cast.owner)
    others = await traces(cast.stranger.id)
    done = await cast.owner.delete("/v1/users/me")
    receipt = done.json()
    assert done.status_code == 200
    assert (receipt["id"], receipt["deleted"], receipt["nulled"]) == (cast.owner.id, EXPECTED, {})
    assert datetime.fromisoformat(receipt["at"]).tzinfo is not None
    assert isinstance(receipt["final"], bool)
    assert await traces(cast.owner.id) == {}
    assert await traces(cast.stranger.id) == others


async def test_a_deleted_user_is_404_everywhere(cast: Cast) -> None:
    await live_a_little(cast.owner)
    await cast.owner.delete("/v1/users/me")
    for path in (
        "",
        "/complete",
        "/profile",
        "/preferences",
        "/activity",
        "/deletion-plan",
        "/apps/notes/data/a",
    ):
        assert (await cast.owner.get(f"/v1/users/me{path}")).status_code == 404
    assert (await cast.owner.get("/v1/users/me/apps/notes/data")).status_code == 404
    assert (await cast.owner.delete("/v1/users/me")).status_code == 404
    assert (await cast.owner.merge("/v1/users/me", {"name": "x"})).status_code == 404


async def test_nothing_is_written_for_a_deleted_user(cast: Cast) -> None:
    await cast.owner.get("/v1/users/me/apps/notes/data/k")  # the process holds a warm lease
    await cast.owner.delete("/v1/users/me")
    event = {"appId": "notes", "eventName": "e", "eventCategory": "custom"}
    writes: list[tuple[str, str, Any, int]] = [
        ("PUT", "/v1/users/me/apps/notes/data/k", 1, 404),
        ("POST", "/v1/users/me/activity", {"appId": "notes", "eventType": "x"}, 404),
        ("POST", "/v1/users/me/logins", {"appId": "notes"}, 404),
        ("PUT", "/v1/users/me/profile", {}, 404),
        ("PUT", "/v1/users/me/preferences", {}, 404),
        ("POST", "/v1/analytics/events", event, 422),
    ]
    answers = [await cast.owner.request(verb, path, json=body) for verb, path, body, _ in writes]
    assert [answer.status_code for answer in answers] == [status for *_, status in writes]
    assert await traces(cast.owner.id) == {}


async def test_the_email_of_a_deleted_user_is_free(cast: Cast) -> None:
    await cast.owner.delete("/v1/users/me")
    again = await cast.admin.post("/v1/users", json={"email": "owner@example.com"})
    assert again.status_code == 201
    assert again.json()["id"] != cast.owner.id


async def test_the_ledger_holds_nothing_personal(cast: Cast) -> None:
    await live_a_little(cast.owner)
    await cast.owner.delete("/v1/users/me")
    row = await Deletion.raw().find_one({"_id": ObjectId(cast.owner.id)})
    assert row is not None
    assert (row["root"], row["by"], row["deleted"]) == ("users", f"user:{cast.owner.id}", EXPECTED)
    assert "owner@example.com" not in str(row)
    assert "remembered" not in str(row)


async def test_a_large_tree_goes_in_a_job_that_can_be_followed(make_api: MakeApi) -> None:
    api = await make_api(deletion_inline_seconds=0)
    admin = await api.key("admin")
    user = (await admin.post("/v1/users", json={})).json()["id"]
    owner = api.token(user)
    rows = [{"userId": ObjectId(user), "appId": "notes", "timestamp": now()} for _ in range(1500)]
    await Activity.raw().insert_many(rows)
    started = await owner.delete("/v1/users/me")
    assert (started.status_code, started.json()) == (202, {"jobId": user})
    assert started.headers["location"] == f"/v1/users/{user}/deletion"
    assert (await owner.get("/v1/users/me")).status_code == 404
    progress = await owner.get(started.headers["location"])
    assert (progress.status_code, progress.json()["swept"], progress.json()["final"]) == (
        200,
        False,
        False,
    )
    job = (await admin.get(f"/v1/admin/jobs/{user}")).json()
    assert (job["id"], job["kind"], job["state"]) == (user, "sweep-deletion", "due")
    assert job["runAt"] <= rfc3339(now())
    assert user in [item["id"] for item in (await admin.get("/v1/admin/jobs")).json()]


@pytest.mark.parametrize("user", ["f" * 24, "nonsense"])
async def test_nobody_is_deleted_who_is_not_there(cast: Cast, user: str) -> None:
    assert (await cast.admin.delete(f"/v1/users/{user}")).status_code == 404
    assert await Deletion.raw().count_documents({}) == 0


async def test_a_stranger_deletes_and_plans_nothing(cast: Cast) -> None:
    path = f"/v1/users/{cast.owner.id}"
    assert (await cast.stranger.delete(path)).status_code == 404
    assert (await cast.stranger.get(f"{path}/deletion-plan")).status_code == 404
    assert (await cast.owner_in_app.delete("/v1/users/me")).status_code == 403
    assert (await cast.owner.get("/v1/users/me")).status_code == 200


@pytest.mark.parametrize(
    "sent", [{"If-Match": '"1"'}, {"If-Match": '"7", W/"2"'}, {"If-None-Match": "*"}], ids=repr
)
async def test_a_stale_deletion_deletes_nothing_and_says_what_is_stored(
    cast: Cast, sent: dict[str, str]
) -> None:
    await live_a_little(cast.owner)
    current = (await cast.owner.merge("/v1/users/me", {"name": "Ann"})).json()
    refused = await cast.owner.delete("/v1/users/me", headers=sent)
    assert (refused.status_code, version_of(refused)) == (412, 2)
    assert refused.json()["current"] | {"lastLogin": current["lastLogin"]} == current
    assert await traces(cast.owner.id) == EXPECTED
    assert await Deletion.raw().count_documents({}) == 0
    assert (await cast.owner.delete("/v1/users/me", headers={"If-Match": '"2"'})).status_code == 200
    assert (await cast.owner.delete("/v1/users/me", headers={"If-Match": '"2"'})).status_code == 404


async def test_of_a_change_and_a_deletion_of_the_same_version_one_is_done(
    make_api: MakeApi,
) -> None:
    api = await make_api()
    admin = await api.key("admin")
    for _ in range(10):
        path = f"/v1/users/{(await admin.post('/v1/users', json={})).json()['id']}"
        first = {"If-Match": '"1"'}
        changed, deleted = await asyncio.gather(
            admin.merge(path, {"name": "x"}, headers=first), admin.delete(path, headers=first)
        )
        assert (changed.status_code, deleted.status_code) in ((200, 412), (404, 200))
        assert (await admin.get(path)).status_code == changed.status_code


async def test_an_admin_is_led_to_the_job(make_api: MakeApi) -> None:
    api = await make_api(deletion_inline_seconds=0)
    admin = await api.key("admin")
    user = (await admin.post("/v1/users", json={})).json()["id"]
    await Activity.raw().insert_many(
        [{"userId": ObjectId(user), "appId": "notes", "timestamp": now()} for _ in range(1500)]
    )
    started = await admin.delete(f"/v1/users/{user}")
    assert (started.status_code, started.headers["location"]) == (202, f"/v1/admin/jobs/{user}")
    assert (await admin.get(started.headers["location"])).json()["kind"] == "sweep-deletion"


async def test_the_receipt_becomes_final_where_everyone_who_may_delete_can_read_it(
    cast: Cast, api: Api
) -> None:
    path = f"/v1/users/{cast.owner.id}/deletion"
    writer = await api.key("users:write")
    assert (await cast.owner.get(path)).status_code == 404
    receipt = (await cast.owner.delete("/v1/users/me")).json()
    assert (await cast.owner.get("/v1/users/me/deletion")).json() == receipt
    ledger = await Deletion.raw().find_one({"_id": ObjectId(cast.owner.id)})
    await sweep_again([Deletion.from_stored(ledger or {})], api.settings, HOOKS)
    final = {**receipt, "final": True}
    for caller in (cast.owner, writer, cast.admin):
        answer = await caller.get(path)
        assert (answer.status_code, answer.json()) == (200, final)
    assert (await cast.admin.get(f"/v1/admin/deletions/{cast.owner.id}")).json() == final
    assert (await cast.stranger.get(path)).status_code == 404
    assert (await cast.reader.get(path)).status_code == 403
    assert (await writer.get(f"/v1/admin/deletions/{cast.owner.id}")).status_code == 403
    assert (await cast.admin.get(f"/v1/admin/deletions/{'f' * 24}")).status_code == 404
