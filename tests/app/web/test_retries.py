"""A write whose answer was lost is sent again with its Idempotency-Key: it is done once and
answered the same."""

import asyncio
from typing import Any

import pytest

from models.activity import Activity
from models.app_data import AppData
from models.idempotency import IdempotencyKey
from models.user import User
from tests.cast import Cast, programme_of
from tests.factories.app_data import DATA
from tests.harness import Api, Caller

KEY = {"Idempotency-Key": "k-1"}
LOG = f"{DATA}/log"
APPEND = [{"op": "add", "path": "/-", "value": "entry"}]


async def test_a_patch_of_app_data_that_is_repeated_is_applied_once(cast: Cast) -> None:
    await cast.owner.put(LOG, json=[])
    first, repeat = [await cast.owner.patch(LOG, APPEND, headers=KEY) for _ in range(2)]
    assert (first.status_code, repeat.status_code) == (200, 200)
    assert repeat.json() == first.json()
    assert repeat.headers["etag"] == first.headers["etag"]
    assert (await cast.owner.get(LOG)).json() == ["entry"]
    assert (await cast.owner.patch(LOG, APPEND, headers={"Idempotency-Key": "k-2"})).json()[
        "value"
    ] == ["entry"] * 2


async def test_racing_repeats_of_a_patch_are_applied_once(cast: Cast) -> None:
    await cast.owner.put(LOG, json=[])
    answers = await asyncio.gather(*(cast.owner.patch(LOG, APPEND, headers=KEY) for _ in range(5)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {
        "in_flight"
    }
    assert (await cast.owner.get(LOG)).json() == ["entry"]


@pytest.mark.parametrize("precondition", [{}, {"If-None-Match": "*"}])
async def test_a_put_that_is_repeated_is_answered_as_at_first(
    cast: Cast, precondition: dict[str, str]
) -> None:
    path, headers = f"{DATA}/x?activity=saved", {**KEY, **precondition}
    first, repeat = [await cast.owner.put(path, json=1, headers=headers) for _ in range(2)]
    assert (first.status_code, repeat.status_code) == (201, 201)
    assert repeat.json() == first.json()
    assert await Activity.raw().count_documents({"eventType": "saved"}) == 1
    again = await cast.owner.put(path, json=1, headers={"Idempotency-Key": "k-2"})
    assert (again.status_code, again.json()["version"]) == (200, 2)


MINIMAL = {**KEY, "Prefer": "return=minimal"}


@pytest.mark.parametrize("write", ["put", "patch", "idle patch", "restore"])
async def test_a_repeat_without_the_value_tells_no_version_that_others_made(
    cast: Cast, write: str
) -> None:
    await cast.admin.put("/v1/apps/notes", json={"history": 5})
    await cast.owner.put(LOG, json=[])
    path, sent = LOG, {"operations": APPEND if write == "patch" else []}
    if write == "put":
        path, sent = f"{LOG}?ttl=600", {"json": ["mine"]}
    elif write == "restore":
        path, sent = f"{LOG}/restore", {"json": {"version": 1}}
    send = getattr(cast.owner, {"idle patch": "patch", "restore": "post"}.get(write, write))
    first = await send(path, headers=MINIMAL, **sent)
    await cast.owner.put(LOG, json=["theirs"])
    repeat = await send(path, headers=MINIMAL, **sent)
    assert "value" not in first.json()
    assert (repeat.status_code, repeat.json()) == (first.status_code, first.json())
    assert repeat.headers["etag"] == first.headers["etag"]
    blind = await cast.owner.put(LOG, json=1, headers={"If-Match": repeat.headers["etag"]})
    assert (blind.status_code, blind.json()["current"]["value"]) == (412, ["theirs"])


async def test_a_repeat_with_the_value_shows_what_there_is_now(cast: Cast) -> None:
    whole = {**KEY, "Prefer": "return=representation"}
    await cast.owner.put(LOG, json=["mine"], headers=whole)
    theirs = await cast.owner.put(LOG, json=["theirs"])
    repeat = await cast.owner.put(LOG, json=["mine"], headers=whole)
    assert (repeat.json()["value"], repeat.headers["etag"]) == (["theirs"], theirs.headers["etag"])


async def test_a_delete_that_is_repeated_deletes_nothing_that_came_since(cast: Cast) -> None:
    await cast.owner.put(LOG, json=1)
    assert (await cast.owner.delete(LOG, headers=KEY)).status_code == 204
    await cast.owner.put(LOG, json=2)
    assert (await cast.owner.delete(LOG, headers=KEY)).status_code == 204
    assert (await cast.owner.get(LOG)).json() == 2


async def test_another_write_under_the_same_key_is_refused(cast: Cast) -> None:
    assert (await cast.owner.put(LOG, json=1, headers=KEY)).status_code == 201
    for path, value in ((LOG, 2), (f"{LOG}2", 1), (f"{LOG}?activity=saved", 1)):
        refused = await cast.owner.put(path, json=value, headers=KEY)
        assert (refused.status_code, refused.json()["code"]) == (422, "key_reused")
    assert (await cast.owner.get(LOG)).json() == 1
    for bad in ("k 1", "undefined"):
        malformed = await cast.owner.put(LOG, json=1, headers={"Idempotency-Key": bad})
        assert (malformed.status_code, malformed.json()["errors"][0]["pointer"]) == (
            422,
            "header:Idempotency-Key",
        )


async def test_a_write_that_failed_leaves_no_claim(cast: Cast) -> None:
    await cast.owner.put(LOG, json="no array")
    assert (await cast.owner.patch(LOG, APPEND, headers=KEY)).status_code == 422
    assert (
        await cast.owner.put(LOG, json=1, headers={**KEY, "If-Match": '"9"'})
    ).status_code == 412
    assert await IdempotencyKey.raw().count_documents({}) == 0
    await cast.owner.put(LOG, json=[])
    assert (await cast.owner.patch(LOG, APPEND, headers=KEY)).status_code == 200
    assert (
        await IdempotencyKey.raw().count_documents(
            {"resourceId": {"$exists": False}, "status": 200}
        )
        == 1
    )


async def test_a_repeat_shows_the_value_to_those_only_who_may_read_it(cast: Cast, api: Api) -> None:
    writer = await api.key("data:write", app_id="notes")
    path = f"/v1/users/{cast.owner.id}/apps/notes/data/log"
    await writer.put(path, json=[])
    for _ in range(2):
        assert "value" not in (await writer.patch(path, APPEND, headers=KEY)).json()
    shown = await cast.owner.put(LOG, json=1, headers={**KEY, "Prefer": "return=representation"})
    repeat = await cast.owner.put(LOG, json=1, headers={**KEY, "Prefer": "return=representation"})
    assert (shown.json()["value"], repeat.json()) == (1, shown.json())


async def once(caller: Caller, path: str, operation: dict[str, Any], field: str) -> None:
    key = {"Idempotency-Key": field}
    first, repeat = [await caller.patch(path, [operation], headers=key) for _ in range(2)]
    assert (first.status_code, repeat.status_code) == (200, 200), repeat.text
    assert repeat.json() == first.json()
    assert repeat.headers["etag"] == first.headers["etag"]
    assert (await caller.get(path)).json()[field] == first.json()[field]


async def test_patches_of_documents_that_are_repeated_are_applied_once(
    cast: Cast, api: Api
) -> None:
    programme = await programme_of(api, cast.admin)
    blocked = {"op": "add", "path": "/blockedMerchantCategories/-", "value": "5812"}
    await once(cast.admin, programme.profile_path, blocked, "blockedMerchantCategories")
    await once(
        cast.admin,
        f"/v1/users/{cast.owner.id}",
        {"op": "add", "path": "/roles/0", "value": "x"},
        "roles",
    )
    assert (await cast.admin.get(f"/v1/users/{cast.owner.id}")).json()["roles"].count("x") == 1
    swap = {"op": "move", "from": "/displayName", "path": "/bio"}
    await once(cast.owner, "/v1/users/me/profile", swap, "bio")


@pytest.mark.parametrize("method", ["put", "patch"])
async def test_a_repeat_after_its_user_was_deleted_says_so(cast: Cast, method: str) -> None:
    path = f"/v1/users/{cast.owner.id}/apps/notes/data/log"
    sent: dict[str, Any] = {"json": 1} if method == "put" else {"operations": APPEND}
    if method == "patch":
        await cast.admin.put(path, json=[])
    await getattr(cast.admin, method)(path, headers=KEY, **sent)
    await cast.admin.delete(f"/v1/users/{cast.owner.id}")
    repeat = await getattr(cast.admin, method)(path, headers=KEY, **sent)
    assert (repeat.status_code, repeat.json()["code"]) == (404, "result_gone")
    assert await AppData.raw().count_documents({}) == 0


async def test_a_repeated_post_after_its_user_was_deleted_says_so(cast: Cast) -> None:
    body, activity = {"email": "ann@example.com"}, {"appId": "notes", "eventType": "opened"}
    user = (await cast.admin.post("/v1/users", json=body, headers=KEY)).json()["id"]
    posts = [("/v1/users", body, "k-1"), (f"/v1/users/{user}/activity", activity, "k-2")]
    for path, sent, key in posts:
        assert (
            await cast.admin.post(path, json=sent, headers={"Idempotency-Key": key})
        ).status_code == 201
    await cast.admin.merge(f"/v1/users/{user}", {"name": "Ann"}, headers={"Idempotency-Key": "k-3"})
    await cast.admin.delete(f"/v1/users/{user}")
    answers = [
        await cast.admin.post(path, json=sent, headers={"Idempotency-Key": key})
        for path, sent, key in posts
    ]
    answers.append(
        await cast.admin.merge(
            f"/v1/users/{user}", {"name": "Ann"}, headers={"Idempotency-Key": "k-3"}
        )
    )
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (404, "result_gone")
    ] * 3
    assert await User.raw().count_documents({"email": body["email"]}) == 0
    fresh = await cast.admin.post(
        f"/v1/users/{user}/activity", json=activity, headers={"Idempotency-Key": "k-4"}
    )
    assert fresh.json()["code"] == "not_found"
