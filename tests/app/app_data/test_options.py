"""What a write is asked to do besides: an expiry, an activity, what to answer, a registered app."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from models.activity import Activity
from models.app_data import AppData
from models.app_data_expiry import expire_due
from models.base import now
from tests.app.faults import TRANSIENT, failing
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.app_data import DATA, K


async def end(key: str) -> None:
    """Let a value's time be over."""
    done = await AppData.raw().update_one(
        {"dataKey": key}, {"$set": {"expiresAt": now() - timedelta(seconds=1)}}
    )
    assert done.modified_count == 1


async def types(cast: Cast) -> list[str]:
    """The event types of the owner's activity, newest first."""
    return [
        item["eventType"]
        for item in (await cast.owner.get("/v1/users/me/activity")).json()["items"]
    ]


async def test_ttl_sets_the_expiry_and_its_absence_clears_it(cast: Cast) -> None:
    before = datetime.now(UTC)
    written = (await cast.owner.put(K, json=1, params={"ttl": 60})).json()
    expires = datetime.fromisoformat(written["expiresAt"])
    assert before + timedelta(seconds=59) < expires < datetime.now(UTC) + timedelta(seconds=61)
    listed = (await cast.owner.get(DATA)).json()["items"][0]
    assert listed["expiresAt"] == written["expiresAt"]
    assert "expiresAt" not in (await cast.owner.put(K, json=2)).json()
    assert "expiresAt" not in (await cast.owner.get(DATA)).json()["items"][0]


async def test_a_patch_keeps_the_expiry_or_sets_another(cast: Cast) -> None:
    written = (await cast.owner.put(K, json={}, params={"ttl": 60})).json()
    kept = (await cast.owner.merge(K, {"a": 1})).json()
    assert kept["expiresAt"] == written["expiresAt"]
    later = (await cast.owner.merge(K, {"a": 2}, params={"ttl": 600})).json()
    assert later["expiresAt"] > written["expiresAt"]


@pytest.mark.parametrize(
    "ttl", ["0", "-1", "", "x", "1.5", "1e3", "316224001", "9" * 30, "%D9%A2", "%FF"]
)
async def test_other_ttls_are_refused(cast: Cast, ttl: str) -> None:
    refused = await cast.owner.put(f"{K}?ttl={ttl}", json=1)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"].startswith("?")
    assert (await cast.owner.get(K)).status_code == 404


async def test_a_value_whose_time_is_over_is_absent_at_once(cast: Cast) -> None:
    await cast.owner.put(K, json={"a": 1}, params={"ttl": 60})
    await cast.owner.put(f"{DATA}/other", json=1)
    await end("k")
    assert (await cast.owner.get(K)).status_code == 404
    assert (await cast.owner.merge(K, {})).status_code == 404
    assert (await cast.owner.delete(K)).status_code == 404
    assert (await cast.owner.put(K, json=1, headers={"If-Match": '"1"'})).json()["current"] is None
    assert [item["dataKey"] for item in (await cast.owner.get(DATA)).json()["items"]] == ["other"]


@pytest.mark.parametrize("headers", [{}, {"If-None-Match": "*"}])
async def test_a_key_whose_time_is_over_is_created_anew_and_counts_on(
    cast: Cast, headers: dict[str, str]
) -> None:
    await cast.owner.put(K, json=1, params={"ttl": 60})
    await end("k")
    again = await cast.owner.put(K, json=2, headers=headers)
    assert (again.status_code, again.json()["version"]) == (201, 2)
    assert again.json()["createdAt"] == again.json()["updatedAt"]
    assert "expiresAt" not in again.json()


async def test_expiry_leaves_a_tombstone(cast: Cast) -> None:
    await cast.owner.put(K, json=1, params={"ttl": 60})
    await cast.owner.put(f"{DATA}/later", json=1, params={"ttl": 600})
    await cast.owner.put(f"{DATA}/never", json=1)
    await end("k")
    assert [await expire_due(100), await expire_due(100)] == [1, 0]
    row = await AppData.raw().find_one({"dataKey": "k"})
    assert row is not None
    assert (row["deleted"], row["version"], row["bytes"], row["changedBy"]) == (
        True,
        2,
        0,
        "expiry",
    )
    assert {"value", "expiresAt"}.isdisjoint(row)
    again = await cast.owner.put(K, json=2)
    assert (again.status_code, again.json()["version"]) == (201, 3)
    assert [item["dataKey"] for item in (await cast.owner.get(DATA)).json()["items"]] == [
        "k",
        "later",
        "never",
    ]


@pytest.mark.parametrize(
    ("prefer", "with_value"),
    [
        ("return=representation", True),
        ("return=minimal", False),
        ('return="representation"', True),
        ("wait=10, Return = representation", True),
        ("RETURN=MINIMAL; why=so", False),
        ("return=other", None),
        ("", None),
    ],
)
async def test_prefer_says_whether_the_value_comes_back(
    cast: Cast, prefer: str, with_value: bool | None
) -> None:
    put = (await cast.owner.put(K, json={"a": 1}, headers={"Prefer": prefer})).json()
    patched = (await cast.owner.merge(K, {"b": 2}, headers={"Prefer": prefer})).json()
    assert ("value" in put, "value" in patched) == (
        (False, True) if with_value is None else (with_value, with_value)
    )
    assert put.get("value", {"a": 1}) == {"a": 1}
    assert patched.get("value", {"a": 1, "b": 2}) == {"a": 1, "b": 2}


async def test_an_activity_is_recorded_with_the_write(cast: Cast) -> None:
    assert (await cast.owner.put(K, json={}, params={"activity": "created"})).status_code == 201
    assert (await cast.owner.merge(K, {"a": 1}, params={"activity": "changed"})).status_code == 200
    assert (await cast.owner.delete(K, params={"activity": "deleted"})).status_code == 204
    assert await types(cast) == ["deleted", "changed", "created"]
    newest = (await cast.owner.get("/v1/users/me/activity")).json()["items"][0]
    assert (newest["appId"], newest["eventData"]) == ("notes", {"dataKey": "k"})


async def test_a_refused_write_records_no_activity(cast: Cast) -> None:
    params = {"activity": "tried"}
    assert (await cast.owner.delete(K, params=params)).status_code == 404
    assert (await cast.owner.merge(K, {}, params=params)).status_code == 404
    await cast.owner.put(K, json=1)
    for verb in ("PUT", "DELETE"):
        stale = await cast.owner.request(
            verb, K, content=b"2", params=params, headers={"If-Match": '"9"'}
        )
        assert stale.status_code == 412
    assert await types(cast) == []


async def test_the_write_goes_with_its_activity_or_not_at_all(
    cast: Cast, client: AsyncMongoClient[Any]
) -> None:
    async with failing(client, "insert", mode="alwaysOn", errorCode=96):
        answer = await cast.owner.put(K, json=1, params={"activity": "created"})
    assert answer.status_code in (500, 503)
    assert (await cast.owner.get(K)).status_code == 404
    assert await AppData.raw().count_documents({}) == 0
    assert await Activity.raw().count_documents({}) == 0


async def test_a_passing_conflict_in_the_transaction_is_not_seen(
    cast: Cast, client: AsyncMongoClient[Any]
) -> None:
    async with failing(client, "insert", mode={"times": 2}, **TRANSIENT):
        answer = await cast.owner.put(K, json=1, params={"activity": "created"})
    assert (answer.status_code, answer.json()["version"]) == (201, 1)
    assert await types(cast) == ["created"]


@pytest.mark.parametrize("activity", ["", "x" * 257, "%FF"])
async def test_other_event_types_are_refused(cast: Cast, activity: str) -> None:
    assert (await cast.owner.put(f"{K}?activity={activity}", json=1)).status_code == 422
    assert (await cast.owner.get(K)).status_code == 404


async def test_where_apps_must_be_registered_others_take_nothing(make_api: MakeApi) -> None:
    api = await make_api(require_registered_apps=True, credential_cache_seconds=0)
    admin = await api.key("admin")
    user = (await admin.post("/v1/users", json={})).json()["id"]
    writes: list[tuple[str, str, Any]] = [
        ("PUT", f"/v1/users/{user}/apps/notes/data/k", 1),
        ("POST", f"/v1/users/{user}/activity", {"appId": "notes", "eventType": "x"}),
        ("POST", f"/v1/users/{user}/logins", {"appId": "notes"}),
        (
            "POST",
            "/v1/analytics/events",
            {"appId": "notes", "eventName": "x", "eventCategory": "custom"},
        ),
    ]
    refused = [await admin.request(verb, path, json=body) for verb, path, body in writes]
    assert [(answer.status_code, answer.json().get("code")) for answer in refused] == [
        (404, "app_not_registered")
    ] * 4
    await admin.put("/v1/apps/notes", json={})
    assert [
        (await admin.request(verb, path, json=body)).is_success for verb, path, body in writes
    ] == [True] * 4
