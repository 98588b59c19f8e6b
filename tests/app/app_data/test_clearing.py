"""Many values at once: which apps keep some, those whose keys start alike gone, all that an app
keeps gone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bson import ObjectId

from app.app_data import clearing
from app.app_data.jobs import handlers
from app.jobs import run_one
from models.activity import Activity
from models.app_data import AppData
from models.base import now
from models.deletion import Deletion
from models.job import Job
from tests.cast import Cast, enrol
from tests.conftest import MakeApi
from tests.harness import Api, Caller

APPS = "/v1/users/me/apps"
NOTES = f"{APPS}/notes"
DATA = f"{NOTES}/data"


async def put(caller: Caller, *keys: str, app: str = "notes") -> None:
    for key in keys:
        assert (await caller.put(f"{APPS}/{app}/data/{key}", json="x" * 8)).is_success


async def live(caller: Caller, app: str = "notes") -> list[str]:
    answer = await caller.get(f"{APPS}/{app}/data", params={"limit": 200})
    return [each["dataKey"] for each in answer.json()["items"]]


async def run_jobs(cast: Cast, settings: Any) -> None:
    await Job.raw().update_many({}, {"$set": {"runAt": now()}})
    while await run_one(handlers(settings)):
        pass


async def test_apps_are_listed_with_what_they_keep(cast: Cast) -> None:
    assert (await cast.owner.get(APPS)).json() == {"items": []}
    await put(cast.owner, "a", "b", "gone")
    await put(cast.owner, "c", app="boats")
    await put(cast.owner, "only", app="emptied")
    await put(cast.stranger, "d")
    await cast.owner.delete(f"{DATA}/gone")
    await cast.owner.delete(f"{APPS}/emptied/data/only")
    found = (await cast.owner.get(APPS)).json()["items"]
    assert [(each["appId"], each["keys"], each["bytes"]) for each in found] == [
        ("boats", 1, 10),
        ("notes", 2, 20),
    ]
    assert found[1]["changedAt"] >= found[0]["changedAt"] > "2026"
    path = f"/v1/users/{cast.owner.id}/apps"
    for bound in (cast.app_key, cast.owner_in_app):
        assert [each["appId"] for each in (await bound.get(path)).json()["items"]] == ["notes"]
    assert (await cast.stranger.get(path)).status_code == 404
    assert (await cast.admin.get(f"/v1/users/{ObjectId()}/apps")).status_code == 404


async def test_keys_that_start_alike_become_tombstones(cast: Cast) -> None:
    await put(cast.owner, "task:1", "task:2", "task", "tasks", "other")
    await put(cast.owner, "task:1", app="boats")
    await put(cast.stranger, "task:1")
    await cast.owner.delete(f"{DATA}/task:2")
    answer = await cast.owner.delete(DATA, params={"prefix": "task:"})
    body = answer.json()
    assert (answer.status_code, body["deleted"], body["nulled"], body["final"]) == (
        200,
        {"appdata": 1},
        {},
        True,
    )
    assert await live(cast.owner) == ["other", "task", "tasks"]
    assert (await live(cast.owner, "boats"), await live(cast.stranger)) == (["task:1"], ["task:1"])
    rows = {row["dataKey"]: row async for row in AppData.raw().find({"deleted": True})}
    assert {key: row["version"] for key, row in rows.items()} == {"task:1": 2, "task:2": 2}
    assert rows["task:1"]["changedBy"] == f"user:{cast.owner.id}"
    assert (await cast.owner.put(f"{DATA}/task:1", json=1)).json()["version"] == 3
    assert (await cast.owner.get(f"/v1/deletions/{body['id']}")).json() == body
    assert await Job.raw().count_documents({}) == 0


async def test_a_prefix_has_to_be_named(cast: Cast) -> None:
    await put(cast.owner, "a")
    for params in ({}, {"prefix": ""}, {"prefix": "x" * 257}):
        answer = await cast.owner.delete(DATA, params=params)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?prefix")
    assert (await cast.owner.delete(DATA, params={"prefix": "é"})).json()["deleted"] == {}
    assert await live(cast.owner) == ["a"]


async def test_a_prefix_is_of_no_version_and_an_app_may_want_to_hear_so(cast: Cast) -> None:
    """A version or a date that is sent is not passed over: nothing is deleted."""
    await put(cast.owner, "a")
    named = {"prefix": "a"}
    for headers in (
        {"If-Match": '"1"'},
        {"If-None-Match": "*"},
        {"If-Unmodified-Since": "Fri, 20 Nov 2026 08:30:00 GMT"},
    ):
        answer = await cast.owner.delete(DATA, params=named, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (
            422,
            "header:If-Match",
        )
    await cast.admin.put("/v1/apps/notes", json={"requireVersion": True})
    refused = await cast.owner.delete(DATA, params=named)
    assert (refused.status_code, refused.json()["code"]) == (428, "version_required")
    assert await live(cast.owner) == ["a"]
    gone = await cast.owner.delete(DATA, params=named, headers={"If-Match": "*"})
    assert gone.json()["deleted"] == {"appdata": 1}


async def test_a_token_of_the_app_sees_the_deletion_that_it_began(cast: Cast, api: Api) -> None:
    bound, other = (api.token(cast.owner.id, app_id=app) for app in ("notes", "boats"))
    await put(cast.owner, "a")
    begun = (await bound.delete(DATA, params={"prefix": "a"})).json()
    seen = await bound.get(f"/v1/deletions/{begun['id']}")
    assert (seen.status_code, seen.json()) == (200, begun)
    assert (await other.get(f"/v1/deletions/{begun['id']}")).status_code == 404
    elsewhere = (await cast.owner.delete(NOTES.replace("notes", "boats"))).json()
    assert (await bound.get(f"/v1/deletions/{elsewhere['id']}")).status_code == 404
    assert (await other.get(f"/v1/deletions/{elsewhere['id']}")).status_code == 200


async def test_former_versions_stay_with_a_prefix_and_go_with_the_app(cast: Cast) -> None:
    await cast.admin.put("/v1/apps/notes", json={"history": 5})
    await put(cast.owner, "a:1", "a:1", "b")
    await cast.owner.delete(DATA, params={"prefix": "a"})
    restored = await cast.owner.post(f"{DATA}/a:1/restore", json={"version": 1})
    assert (restored.status_code, restored.json()["version"]) == (201, 4)
    await cast.owner.delete(f"{DATA}/a:1")
    gone = await cast.owner.delete(NOTES)
    assert (gone.status_code, gone.json()["deleted"]) == (200, {"appdata": 1})
    assert await AppData.raw().count_documents({}) == 2
    assert await AppData.raw().count_documents({"deleted": True}) == 2
    assert (
        await AppData.raw().count_documents(
            {"$or": [{"history": {"$exists": True}}, {"value": {"$exists": True}}]}
        )
        == 0
    )


async def test_all_that_an_app_keeps_goes_and_nothing_else(cast: Cast) -> None:
    for app in ("notes", "boats"):
        await put(cast.owner, "a", "b", app=app)
        activity = {"appId": app, "eventType": "opened"}
        assert (await cast.owner.post("/v1/users/me/activity", json=activity)).status_code == 201
    await put(cast.stranger, "a")
    plan = (await cast.owner.get(f"{NOTES}/deletion-plan")).json()
    assert plan == {
        "id": cast.owner.id,
        "deleted": {"appdata": 2, "activities": 1},
        "nulled": {},
        "blockers": [],
    }
    gone = await cast.owner.delete(NOTES)
    assert (gone.status_code, gone.json()["deleted"]) == (200, plan["deleted"])
    assert (await cast.owner.get(f"{NOTES}/deletion-plan")).json()["deleted"] == {}
    assert [each["appId"] for each in (await cast.owner.get(APPS)).json()["items"]] == ["boats"]
    assert (await live(cast.owner, "boats"), await live(cast.stranger)) == (["a", "b"], ["a"])
    assert [row["appId"] async for row in Activity.raw().find({})] == ["boats"]


@pytest.fixture
async def small(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Cast, Any]]:
    """Where nothing is done at once but one batch, and a batch has two values."""
    for module in ("models.app_data_clearing.BATCH", "app.app_data.clearing.BATCH"):
        monkeypatch.setattr(module, 2)
    api = await make_api(deletion_inline_seconds=0)
    yield await enrol(api), api.settings


@pytest.mark.parametrize("forget", [False, True])
async def test_a_job_goes_on_and_leaves_what_was_written_later(
    small: tuple[Cast, Any], forget: bool
) -> None:
    cast, settings = small
    await put(cast.owner, *(f"k{number}" for number in range(9)))
    for _ in range(5):
        await cast.owner.post(
            "/v1/users/me/activity", json={"appId": "notes", "eventType": "opened"}
        )
    started = await (
        cast.owner.delete(NOTES) if forget else cast.owner.delete(DATA, params={"prefix": "k"})
    )
    assert started.status_code == 202
    place = started.headers["location"]
    assert place == f"/v1/deletions/{started.json()['jobId']}"
    so_far = (await cast.owner.get(place)).json()
    assert (so_far["deleted"], so_far["final"], so_far["swept"]) == ({"appdata": 2}, False, False)
    assert (await cast.stranger.get(place)).status_code == 404
    shown = (await cast.admin.get(f"/v1/admin/jobs/{started.json()['jobId']}")).json()
    assert (shown["kind"], shown["progress"]["userId"]) == ("clear-app-data", cast.owner.id)
    await put(cast.owner, "k5", "k1", "k99")
    await run_jobs(cast, settings)
    done = (await cast.owner.get(place)).json()
    activities = {"activities": 5} if forget else {}
    assert (done["deleted"], done["final"]) == ({"appdata": 8} | activities, True)
    assert await live(cast.owner) == ["k1", "k5", "k99"]
    assert await Activity.raw().count_documents({}) == (0 if forget else 5)
    job = await Job.raw().find_one({}) or {}
    assert (job["state"], job["progress"]["prefix"]) == ("done", "")


async def test_a_killed_process_leaves_a_job_that_does_the_rest(
    small: tuple[Cast, Any], monkeypatch: Any
) -> None:
    cast, settings = small
    await put(cast.owner, *(f"k{number}" for number in range(5)))
    real, calls = clearing.bury, 0

    async def dies(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        await real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(clearing, "bury", dies)
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
        await cast.owner.delete(DATA, params={"prefix": "k"})
    monkeypatch.setattr(clearing, "bury", real)
    assert (calls, len(await live(cast.owner))) == (1, 3)
    await run_jobs(cast, settings)
    assert await live(cast.owner) == []
    assert (await Deletion.raw().find_one({}) or {})["final"] is True


async def test_a_repeat_deletes_nothing_that_came_after(cast: Cast) -> None:
    await put(cast.owner, "a:1")
    key = {"Idempotency-Key": "k"}
    first = await cast.owner.delete(DATA, params={"prefix": "a"}, headers=key)
    await put(cast.owner, "a:1")
    again = await cast.owner.delete(DATA, params={"prefix": "a"}, headers=key)
    assert (again.status_code, again.json()) == (200, first.json())
    assert await live(cast.owner) == ["a:1"]
    other = await cast.owner.delete(DATA, params={"prefix": "b"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


async def test_writers_at_the_same_time_lose_no_version(cast: Cast) -> None:
    await put(cast.owner, *(f"k{number}" for number in range(20)))
    puts = [cast.owner.put(f"{DATA}/k{number}", json="new") for number in range(20)]
    clears = [cast.owner.delete(DATA, params={"prefix": "k"}) for _ in range(3)]
    answers = await asyncio.gather(*puts, *clears)
    assert {answer.status_code for answer in answers} <= {200, 201}
    cleared = sum(answer.json()["deleted"].get("appdata", 0) for answer in answers[20:])
    rows = await AppData.raw().find({}).to_list()
    assert sum(row["version"] for row in rows) == 20 + 20 + cleared
    kept = {row["dataKey"] for row in rows if not row["deleted"]}
    assert {row["value"] for row in rows if not row["deleted"]} <= {"new"}
    assert set(await live(cast.owner)) == kept


@pytest.mark.parametrize("path", [NOTES, f"{DATA}?prefix=a"])
async def test_strangers_and_other_apps_clear_nothing(cast: Cast, path: str) -> None:
    await put(cast.owner, "a")
    await put(cast.owner, "a", app="boats")
    named = path.replace("/me/", f"/{cast.owner.id}/")
    assert (await cast.stranger.delete(named)).status_code == 404
    for bound in (cast.app_key, cast.owner_in_app):
        assert (await bound.delete(named.replace("notes", "boats"))).status_code == 404
    assert (await cast.reader.delete(named)).status_code == 403
    assert (await cast.nobody.delete(named)).status_code == 401
    assert (
        await cast.admin.delete(named.replace(cast.owner.id, str(ObjectId())))
    ).status_code == 404
    assert (await live(cast.owner), await live(cast.owner, "boats")) == (["a"], ["a"])
    assert await Deletion.raw().count_documents({}) == 0
