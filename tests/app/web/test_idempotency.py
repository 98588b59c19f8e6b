"""Idempotency-Key: a repeated POST makes nothing new."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from models.activity import Activity
from models.api_key import ApiKey
from models.base import now
from models.idempotency import IdempotencyKey
from models.user import User
from tests.app.faults import failing
from tests.cast import Cast
from tests.harness import Api, version_of

KEY = {"Idempotency-Key": "k-1"}
ANN = {"email": "ann@example.com"}
ACTIVITY = {"appId": "notes", "eventType": "opened"}
POSTS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("admin", "/v1/users", ANN, {"email": "other@example.com"}),
    ("owner", "/v1/users/me/activity", ACTIVITY, {**ACTIVITY, "eventType": "other"}),
    ("owner", "/v1/users/me/logins", {"appId": "notes"}, {"appId": "boats"}),
]


@pytest.mark.parametrize(("who", "path", "body", "other"), POSTS)
async def test_a_repeat_answers_the_same_and_makes_nothing(
    cast: Cast, who: str, path: str, body: Any, other: Any
) -> None:
    caller = getattr(cast, who)
    first = await caller.post(path, json=body, headers=KEY)
    users, activities = (
        await User.raw().count_documents({}),
        await Activity.raw().count_documents({}),
    )
    repeat = await caller.post(path, json=body, headers=KEY)
    assert (first.status_code, repeat.status_code) == (201, 201)
    assert repeat.json() == first.json()
    assert [repeat.headers.get(name) for name in ("location", "etag")] == [
        first.headers.get(name) for name in ("location", "etag")
    ]
    assert await User.raw().count_documents({}) == users
    assert await Activity.raw().count_documents({}) == activities


@pytest.mark.parametrize(("who", "path", "body", "other"), POSTS)
async def test_another_body_under_the_same_key_is_refused(
    cast: Cast, who: str, path: str, body: Any, other: Any
) -> None:
    caller = getattr(cast, who)
    assert (await caller.post(path, json=body, headers=KEY)).status_code == 201
    refused = await caller.post(path, json=other, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (422, "key_reused")
    assert (
        await caller.post(path, json=other, headers={"Idempotency-Key": "k-2"})
    ).status_code == 201


async def test_another_path_under_the_same_key_is_refused(cast: Cast) -> None:
    assert (
        await cast.owner.post("/v1/users/me/logins", json={"appId": "notes"}, headers=KEY)
    ).status_code == 201
    refused = await cast.owner.post("/v1/users/me/activity", json=ACTIVITY, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (422, "key_reused")


async def test_a_repeat_shows_the_resource_as_it_is_now(cast: Cast) -> None:
    made = (await cast.admin.post("/v1/users", json=ANN, headers=KEY)).json()
    await cast.admin.merge(f"/v1/users/{made['id']}", {"name": "New"})
    repeat = await cast.admin.post("/v1/users", json=ANN, headers=KEY)
    assert (repeat.json()["id"], repeat.json()["name"], version_of(repeat)) == (
        made["id"],
        "New",
        2,
    )


async def test_keys_are_each_callers_own(cast: Cast) -> None:
    for caller in (cast.owner, cast.stranger):
        assert (
            await caller.post("/v1/users/me/activity", json=ACTIVITY, headers=KEY)
        ).status_code == 201
    assert await Activity.raw().count_documents({}) == 2


async def test_racing_repeats_make_one(cast: Cast) -> None:
    answers = await asyncio.gather(
        *(cast.admin.post("/v1/users", json={}, headers=KEY) for _ in range(30))
    )
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {
        "in_flight"
    }
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 409)
    assert await User.raw().count_documents({"email": {"$exists": False}}) == 1


async def test_a_repeat_in_flight_is_told_to_wait(
    cast: Cast, client: AsyncMongoClient[Any]
) -> None:
    async with failing(
        client, "commitTransaction", mode="alwaysOn", blockConnection=True, blockTimeMS=500
    ):
        both = await asyncio.gather(
            *(cast.admin.post("/v1/users", json=ANN, headers=KEY) for _ in range(2))
        )
    made, told = sorted(both, key=lambda answer: answer.status_code)
    assert (made.status_code, told.status_code, told.json()["code"]) == (201, 409, "in_flight")
    assert told.headers["retry-after"] == "1"
    assert (await cast.admin.post("/v1/users", json=ANN, headers=KEY)).json() == made.json()
    assert await User.raw().count_documents({"email": "ann@example.com"}) == 1


async def test_a_request_that_failed_claims_nothing(cast: Cast) -> None:
    await cast.admin.post("/v1/users", json=ANN)
    assert (await cast.admin.post("/v1/users", json=ANN, headers=KEY)).status_code == 409
    assert (await cast.admin.post("/v1/users", json={"email": "x"}, headers=KEY)).status_code == 422
    assert await IdempotencyKey.raw().count_documents({}) == 0
    assert (
        await cast.admin.post("/v1/users", json={"email": "b@example.com"}, headers=KEY)
    ).status_code == 201


async def test_a_key_is_forgotten_when_its_time_is_over(cast: Cast) -> None:
    first = await cast.admin.post("/v1/users", json={}, headers=KEY)
    await IdempotencyKey.raw().update_many({}, {"$set": {"expiresAt": now()}})
    again = await cast.admin.post("/v1/users", json={}, headers=KEY)
    assert (again.status_code, again.json()["id"] != first.json()["id"]) == (201, True)


async def test_an_answer_with_a_secret_is_given_once(cast: Cast) -> None:
    body = {"name": "server", "scopes": ["data:read"]}
    made = await cast.admin.post("/v1/api-keys", json=body, headers=KEY)
    repeat = await cast.admin.post("/v1/api-keys", json=body, headers=KEY)
    assert (repeat.status_code, repeat.json()["code"], repeat.json()["id"]) == (
        409,
        "already_done",
        made.json()["id"],
    )
    assert made.json()["key"] not in repeat.text
    assert await ApiKey.raw().count_documents({"name": "server"}) == 1


async def test_a_record_holds_nothing_of_what_was_sent(cast: Cast) -> None:
    made = await cast.admin.post(
        "/v1/api-keys", json={"name": "server", "scopes": ["data:read"]}, headers=KEY
    )
    record = str(await IdempotencyKey.raw().find_one({}))
    for secret in (made.json()["key"], "k-1", "server", cast.admin.credential or "?"):
        assert secret not in record


async def test_a_repeat_after_the_resource_is_gone_is_no_fault_of_the_server(cast: Cast) -> None:
    await cast.owner.post("/v1/users/me/activity", json=ACTIVITY, headers=KEY)
    await Activity.raw().delete_many({})
    assert (
        await cast.owner.post("/v1/users/me/activity", json=ACTIVITY, headers=KEY)
    ).status_code in (404, 410)
    made = await cast.admin.post("/v1/users", json=ANN, headers=KEY)
    await cast.admin.delete(f"/v1/users/{made.json()['id']}")
    assert (await cast.admin.post("/v1/users", json=ANN, headers=KEY)).status_code in (404, 410)


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "x" * 256, "\t", "é", "undefined", "null", "{{$guid}}"]
)
async def test_other_keys_are_refused(cast: Cast, key: str) -> None:
    refused = await cast.admin.post("/v1/users", json={}, headers={"Idempotency-Key": key.encode()})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"].lower() == "header:idempotency-key"


@pytest.mark.parametrize("path", ["/v1/users/me/profile", "/v1/users/me/apps/notes/data/k"])
async def test_of_two_keys_neither_counts(api: Api, cast: Cast, path: str) -> None:
    keys = [("Idempotency-Key", "k-1"), ("Idempotency-Key", "k-2")]
    headers = [("Authorization", f"Bearer {cast.owner.credential}"), *keys]
    refused = await api.client.put(path, json={"bio": "x"}, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "header:Idempotency-Key",
    )
