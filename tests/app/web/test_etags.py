"""ETags name the document, its representation and the epoch; what is private is kept by no
cache."""

import asyncio
from typing import Any

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from models.base import Raw
from models.deployment import Deployment
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.etags import VALUE, WRITABLE, fill, send
from tests.harness import Api, known, version_of

MINE = ["/v1/users/me", "/v1/users/me/profile", "/v1/users/me/preferences", VALUE]


@pytest.mark.parametrize("path", MINE)
async def test_what_one_person_has_is_never_what_another_asks_for(cast: Cast, path: str) -> None:
    await fill(cast)
    mine, theirs = await cast.owner.get(path), await cast.stranger.get(path)
    assert version_of(mine) == version_of(theirs) == 1
    assert mine.headers["etag"] != theirs.headers["etag"]
    assert (await cast.owner.get(path, headers=known(mine))).status_code == 304
    second = await cast.stranger.get(path, headers=known(mine))
    assert (second.status_code, second.content) == (200, theirs.content)


@pytest.mark.parametrize(("path", "method", "body"), WRITABLE)
async def test_the_tag_of_one_person_guards_no_write_of_another(
    cast: Cast, path: str, method: str, body: Any
) -> None:
    await fill(cast)
    mine, theirs = await cast.owner.get(path), await cast.stranger.get(path)
    guard = {"If-Match": mine.headers["etag"]}
    refused = await send(cast.stranger, method, path, body, guard)
    assert (refused.status_code, refused.json()["code"]) == (412, "version_mismatch")
    assert refused.headers["etag"] == theirs.headers["etag"]
    assert (await cast.stranger.get(path)).content == theirs.content
    done = await send(cast.owner, method, path, body, guard)
    assert done.status_code in (200, 204)


@pytest.mark.parametrize("path", MINE)
async def test_every_answer_of_a_document_names_it_alike(cast: Cast, path: str) -> None:
    await fill(cast)
    first = (await cast.owner.get(path)).headers["etag"]
    field = {"/v1/users/me": "name", VALUE: "by"}.get(
        path, "bio" if "profile" in path else "language"
    )
    done = await cast.owner.merge(path, {field: "de"}, headers={"If-Match": first})
    assert done.headers["etag"] == first.replace('"1.', '"2.')
    assert (await cast.owner.get(path)).headers["etag"] == done.headers["etag"]
    stale = await cast.owner.merge(path, {field: "en"}, headers={"If-Match": first})
    assert (stale.status_code, stale.headers["etag"]) == (412, done.headers["etag"])


async def test_a_bare_version_guards_a_write_and_is_never_known(cast: Cast) -> None:
    await fill(cast)
    for path in MINE:
        assert (await cast.owner.get(path, headers={"If-None-Match": '"1"'})).status_code == 200
    assert (await cast.owner.put(VALUE, json=2, headers={"If-Match": '"1"'})).status_code == 200
    assert (
        await cast.owner.put(VALUE, json=3, headers={"If-Match": '"9", "2"'})
    ).status_code == 200
    assert (await cast.owner.put(VALUE, json=4, headers={"If-Match": '"2"'})).status_code == 412


async def test_a_tag_lives_through_a_tombstone_and_names_no_other_key(cast: Cast) -> None:
    made = (await cast.owner.put(VALUE, json=1)).headers["etag"]
    await cast.owner.delete(VALUE)
    assert (await cast.owner.put(VALUE, json=1)).headers["etag"] == made.replace('"1.', '"3.')
    other = await cast.owner.put(VALUE + "2", json=1, headers={"If-None-Match": "*"})
    assert version_of(other) == 1
    assert other.headers["etag"] != made
    absent = await cast.owner.put(VALUE + "3", json=1, headers={"If-Match": made})
    assert (absent.status_code, absent.json()["current"]) == (412, None)


async def test_a_weak_tag_says_that_it_is_weak(cast: Cast) -> None:
    await fill(cast)
    for path, method, body in WRITABLE:
        tag = (await cast.owner.get(path)).headers["etag"]
        refused = await send(cast.owner, method, path, body, {"If-Match": f"W/{tag}"})
        assert (refused.status_code, "weak" in refused.json()["detail"]) == (412, True), (
            path,
            method,
        )
        listed = await send(cast.owner, method, path, body, {"If-Match": f'W/{tag}, "77"'})
        assert (listed.status_code, "weak" in listed.json()["detail"]) == (412, False), (
            path,
            method,
        )


async def test_a_user_and_a_key_know_different_accounts(api: Api, cast: Cast) -> None:
    made = (
        await cast.admin.post(
            "/v1/accounts", json={"name": "A", "webhookUrl": "https://example.com/h"}
        )
    ).json()
    path = f"/v1/accounts/{made['id']}"
    content = {"email": "holder@example.com", "name": "H"}
    holder = api.token((await cast.admin.post(f"{path}/users", json=content)).json()["id"])
    whole, part = await cast.admin.get(path), await holder.get(path)
    assert (whole.json()["webhookUrl"], part.json()["webhookUrl"]) == (
        "https://example.com/h",
        None,
    )
    assert whole.headers["etag"] != part.headers["etag"]
    assert (await holder.get(path, headers=known(whole))).json() == part.json()
    assert (await cast.admin.get(path, headers=known(part))).json() == whole.json()
    for caller, answer in ((cast.admin, whole), (holder, part)):
        assert (await caller.get(path, headers=known(answer))).status_code == 304


async def test_another_epoch_makes_every_tag_new(
    cast: Cast, make_api: MakeApi, database: AsyncDatabase[Raw]
) -> None:
    await fill(cast)
    before = {path: await cast.owner.get(path) for path in MINE}
    await make_api()  # a restart alone
    assert {path: (await cast.owner.get(path)).headers["etag"] for path in MINE} == {
        path: answer.headers["etag"] for path, answer in before.items()
    }
    epoch = await Deployment.epoch()
    await database["deployments"].update_one({}, {"$set": {"epochName": "restored"}})
    await make_api()
    assert (await Deployment.epoch(), epoch != "restored") == ("restored", True)
    for path, answer in before.items():
        after = await cast.owner.get(path, headers=known(answer))
        assert (after.status_code, after.content) == (200, answer.content)
        assert after.headers["etag"] != answer.headers["etag"]
    guard = {"If-Match": before[VALUE].headers["etag"]}
    assert (await cast.owner.put(VALUE, json=2, headers=guard)).status_code == 412


@pytest.mark.usefixtures("database")
async def test_an_epoch_is_made_once_by_many_that_start_at_once() -> None:
    assert len(set(await asyncio.gather(*(Deployment.epoch() for _ in range(10))))) == 1


async def test_nothing_private_is_kept_by_a_cache(api: Api, cast: Cast) -> None:
    await fill(cast)
    mine = await cast.owner.get(VALUE)
    answers = [await caller.get(path) for caller in (cast.owner, cast.nobody) for path in MINE]
    answers += [
        mine,
        await cast.owner.get(VALUE, headers=known(mine)),
        await cast.owner.request("HEAD", VALUE),
        await cast.owner.get(VALUE + "none"),
        await cast.owner.put(VALUE, content=b"{"),
        await cast.owner.put(VALUE, json=1, headers={"If-Match": '"9"'}),
        await cast.owner.delete(VALUE),
        await cast.owner.get("/v1/nothing/here"),
        await cast.owner.request("TRACE", VALUE),
        await cast.admin.get("/v1/users"),
        await cast.admin.post("/v1/users", json={}),
        await cast.admin.get("/v1/analytics/query", params={"wrong": "1"}),
        await cast.owner.post("/v1/users/me/activity", json={"appId": "notes", "eventType": "x"}),
        await cast.nobody.post("/v1/auth/otp", json={}),
    ]
    for answer in answers:
        assert answer.headers.get_list("cache-control") == ["no-store"], answer.request.url
    for path in ("/.well-known/jwks.json", "/openapi.json", "/docs/static/LICENSE"):
        public = await cast.nobody.get(path)
        assert (public.status_code, public.headers.get("cache-control") != "no-store") == (
            200,
            True,
        )
