"""The versions of a value: listed, read, restored, by those who may see the value and nobody
else."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from bson import ObjectId

from models.app_data import AppData
from tests.cast import Cast
from tests.harness import Api, Caller, version_of

DATA = "/v1/users/me/apps/notes/data"
K = f"{DATA}/k"
HISTORY, RESTORE = f"{K}/history", f"{K}/restore"


@pytest.fixture
async def keeping(cast: Cast) -> Cast:
    """The app keeps nine versions, and the value has three: `one`, `two`, and now a deletion."""
    assert (await cast.admin.put("/v1/apps/notes", json={"history": 9})).status_code == 201
    await cast.owner.put(K, json="one")
    await cast.owner.put(K, json="two")
    await cast.owner.delete(K)
    return cast


async def versions(caller: Caller, path: str = HISTORY, **params: Any) -> list[int]:
    answer = await caller.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return [each["version"] for each in answer.json()["items"]]


async def test_the_newest_comes_first_and_says_by_whom_and_when(keeping: Cast) -> None:
    found = (await keeping.owner.get(HISTORY)).json()
    by = f"user:{keeping.owner.id}"
    assert [list(each) for each in found["items"]] == [
        ["version", "at", "by", "bytes", "deleted"]
    ] * 3
    assert [
        (each["version"], each["by"], each["bytes"], each["deleted"]) for each in found["items"]
    ] == [
        (3, by, 0, True),
        (2, by, 5, False),
        (1, by, 5, False),
    ]
    times = [each["at"] for each in found["items"]]
    assert times == sorted(times, reverse=True)
    assert found["nextCursor"] is None


async def test_pages_meet_without_gap_while_versions_are_added(keeping: Cast) -> None:
    first = (await keeping.owner.get(HISTORY, params={"limit": 2})).json()
    await keeping.owner.put(K, json="four")
    second = (
        await keeping.owner.get(HISTORY, params={"limit": 2, "cursor": first["nextCursor"]})
    ).json()
    assert [each["version"] for each in first["items"] + second["items"]] == [3, 2, 1]
    assert second["nextCursor"] is None
    other = await keeping.owner.get(f"{DATA}/other/history", params={"cursor": first["nextCursor"]})
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "?cursor")


async def test_a_version_is_read_with_its_value(keeping: Cast) -> None:
    await keeping.owner.put(K, json={"$ref": [1, {"a.b": None}]})
    current, deleted, former = [
        (await keeping.owner.get(f"{HISTORY}/{number}")).json() for number in (4, 3, 2)
    ]
    assert (current["value"], former["value"]) == ({"$ref": [1, {"a.b": None}]}, "two")
    assert (deleted["deleted"], "value" in deleted) == (True, False)
    await keeping.owner.put(K, json=5)
    assert (await keeping.owner.get(f"{HISTORY}/4")).json() == current


@pytest.mark.parametrize(
    ("number", "status"), [("9", 404), ("0", 422), ("x", 422), ("9" * 30, 422), ("-1", 422)]
)
async def test_a_version_that_is_not_kept_is_404(keeping: Cast, number: str, status: int) -> None:
    answer = await keeping.owner.get(f"{HISTORY}/{number}")
    assert answer.status_code == status
    assert status == 404 or answer.json()["errors"][0]["pointer"] == "path:version"


async def test_a_deleted_value_is_restored_as_its_next_version(keeping: Cast) -> None:
    answer = await keeping.owner.post(RESTORE, json={"version": 1})
    assert (answer.status_code, version_of(answer)) == (201, 4)
    assert answer.json() | {"dataKey": "k", "value": "one", "version": 4} == answer.json()
    found = await keeping.owner.get(K)
    assert (found.json(), found.headers["etag"]) == ("one", answer.headers["etag"])
    again = await keeping.owner.post(
        RESTORE, json={"version": 2}, headers={"Prefer": "return=minimal"}
    )
    assert (again.status_code, again.json()["version"], "value" in again.json()) == (200, 5, False)
    assert await versions(keeping.owner) == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"version": 3}, 422, "/version"),
        ({"version": 7}, 404, None),
        ({"version": 0}, 422, "/version"),
        ({"version": "1"}, 422, "/version"),
        ({}, 422, "/version"),
        ({"version": 1, "x": 1}, 422, "/x"),
        ([], 422, ""),
    ],
    ids=repr,
)
async def test_what_cannot_be_restored_changes_nothing(
    keeping: Cast, body: Any, status: int, pointer: Any
) -> None:
    answer = await keeping.owner.post(RESTORE, json=body)
    assert answer.status_code == status
    assert pointer is None or answer.json()["errors"][0]["pointer"] == pointer
    assert await versions(keeping.owner) == [3, 2, 1]


async def test_a_restore_takes_preconditions(keeping: Cast) -> None:
    tag = (await keeping.owner.put(K, json="four")).headers["etag"]
    stale = await keeping.owner.post(RESTORE, json={"version": 1}, headers={"If-Match": '"3"'})
    assert (stale.status_code, stale.json()["current"]["value"]) == (412, "four")
    absent = await keeping.owner.post(RESTORE, json={"version": 1}, headers={"If-None-Match": "*"})
    assert absent.status_code == 412
    done = await keeping.owner.post(RESTORE, json={"version": 1}, headers={"If-Match": tag})
    assert (done.status_code, done.json()["version"]) == (200, 5)
    await keeping.admin.put("/v1/apps/notes", json={"history": 5, "requireVersion": True})
    assert (await keeping.owner.post(RESTORE, json={"version": 1})).status_code == 428


async def test_racing_restores_of_one_version_let_one_pass(keeping: Cast) -> None:
    tag = (await keeping.owner.put(K, json="four")).headers["etag"]
    posts = [
        keeping.owner.post(RESTORE, json={"version": 1}, headers={"If-Match": tag})
        for _ in range(8)
    ]
    assert Counter(answer.status_code for answer in await asyncio.gather(*posts)) == {
        200: 1,
        412: 7,
    }
    assert await versions(keeping.owner, limit=2) == [5, 4]


async def test_a_repeat_restores_nothing_more(keeping: Cast) -> None:
    key = {"Idempotency-Key": "a"}
    answers = await asyncio.gather(
        *(keeping.owner.post(RESTORE, json={"version": 1}, headers=key) for _ in range(4))
    )
    last = await keeping.owner.post(RESTORE, json={"version": 1}, headers=key)
    assert {answer.status_code for answer in [*answers, last]} <= {201, 409}
    assert (last.status_code, last.json()["version"], last.json()["value"]) == (201, 4, "one")
    other = await keeping.owner.post(RESTORE, json={"version": 2}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert await versions(keeping.owner, limit=2) == [4, 3]


async def test_an_app_without_history_has_the_version_of_now_alone(cast: Cast) -> None:
    await cast.owner.put(K, json=1)
    await cast.owner.put(K, json=2)
    assert await versions(cast.owner) == [2]
    assert (await cast.owner.get(f"{HISTORY}/1")).status_code == 404
    row = await AppData.raw().find_one({"dataKey": "k"})
    assert row is not None
    assert "history" not in row


async def test_what_has_ended_is_as_good_as_deleted(cast: Cast) -> None:
    await cast.owner.put(K, json="secret", params={"ttl": "1000"})
    await AppData.raw().update_one({"dataKey": "k"}, [{"$set": {"expiresAt": "$createdAt"}}])
    found = (await cast.owner.get(f"{HISTORY}/1")).json()
    assert (found["deleted"], "value" in found) == (True, False)
    assert (await cast.owner.post(RESTORE, json={"version": 1})).status_code == 422


async def test_a_restored_value_does_not_end(keeping: Cast) -> None:
    await keeping.owner.put(K, json="four", params={"ttl": "1000"})
    restored = await keeping.owner.post(RESTORE, json={"version": 1})
    assert (restored.status_code, "expiresAt" in restored.json()) == (200, False)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", HISTORY), ("GET", f"{HISTORY}/1"), ("POST", RESTORE)]
)
async def test_strangers_and_other_apps_reach_nothing(
    keeping: Cast, method: str, path: str
) -> None:
    named = path.replace("/me/", f"/{keeping.owner.id}/")
    bound_elsewhere = named.replace("/notes/", "/boats/")
    calls = [
        (keeping.stranger, named),
        (keeping.app_key, bound_elsewhere),
        (keeping.owner_in_app, bound_elsewhere),
        (keeping.admin, path.replace("/me/", f"/{ObjectId()}/")),
        (keeping.stranger, path),  # their own, where nothing is
        (keeping.owner, path.replace("/k/", "/never/")),
    ]
    for caller, place in calls:
        answer = await caller.request(
            method, place, json={"version": 1} if method == "POST" else None
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), place


async def test_ids_of_others_are_shown_to_nobody_but_admins(keeping: Cast, api: Api) -> None:
    """Who wrote: the person themselves, an admin who is a person, the app's key, another key, the
    clock."""
    path = K.replace("/me/", f"/{keeping.owner.id}/")
    await keeping.app_key.put(path, json="by the app")
    await keeping.admin.put(path, json="by an admin's key")
    for by in (f"user:{keeping.stranger.id}", "expiry"):
        await AppData.put(ObjectId(keeping.owner.id), "notes", "k", 1, size=1, by=by, history=50)
    await keeping.admin.put(path, json="by the key again")

    async def seen(caller: Caller) -> list[str]:
        return [each["by"] for each in (await caller.get(f"{path}/history")).json()["items"][:5]]

    owner, stranger = f"user:{keeping.owner.id}", f"user:{keeping.stranger.id}"
    admins_key, _, _, _, apps_key = await seen(keeping.admin)
    assert await seen(keeping.admin) == [admins_key, "expiry", stranger, admins_key, apps_key]
    assert admins_key.startswith("key:") and apps_key.startswith("key:") and admins_key != apps_key
    assert await seen(keeping.owner) == ["key", "expiry", "user", "key", "key"]
    assert await seen(keeping.app_key) == ["key", "expiry", "user", "key", apps_key]
    assert (await keeping.app_key.get(f"{path}/history/3")).json()["by"] == owner
    one = (await keeping.owner.get(f"{HISTORY}/4")).json()
    assert one["by"] == "key"


async def test_a_key_that_may_only_write_restores_and_sees_no_value(
    keeping: Cast, api: Api
) -> None:
    blind = await api.key("data:write", app_id="notes")
    path = K.replace("/me/", f"/{keeping.owner.id}/")
    assert (await blind.get(f"{path}/history")).status_code == 403
    restored = await blind.post(f"{path}/restore", json={"version": 1})
    assert (restored.status_code, "value" in restored.json()) == (201, False)
    stale = await blind.post(f"{path}/restore", json={"version": 1}, headers={"If-Match": '"1"'})
    assert (stale.status_code, "value" in stale.json()["current"]) == (412, False)


async def test_no_answer_about_a_value_carries_its_history(keeping: Cast) -> None:
    await keeping.owner.put(K, json={"a": 1})
    answers = [
        await keeping.owner.get(DATA),
        await keeping.owner.merge(K, {"b": 2}),
        await keeping.owner.put(K, json=1, headers={"If-Match": '"1"'}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 412]
    assert not any("history" in answer.text for answer in answers)


async def test_history_goes_with_the_person(keeping: Cast) -> None:
    gone = await keeping.admin.delete(f"/v1/users/{keeping.owner.id}")
    assert gone.json()["deleted"]["appdata"] == 1
    assert await AppData.raw().count_documents({}) == 0
    assert (await keeping.owner.get(HISTORY)).status_code in (401, 404)
