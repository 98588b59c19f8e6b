"""Ingest: one event or many, each message once; a bad one alone is refused, among others it is set
aside."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient

from app.analytics.ingest import inserts
from app.relations.leases import Leases
from models.analytics import Analytics
from models.base import rfc3339
from models.user import User
from tests.app.faults import failing
from tests.cast import Cast

PATH = "/v1/analytics/events"
EVENT = {"appId": "notes", "eventName": "opened", "eventCategory": "engagement"}


async def stored() -> list[dict[str, Any]]:
    return await Analytics.raw().find({}).sort("_id", 1).to_list()


def counted(accepted: int, duplicates: int = 0) -> dict[str, int]:
    return {"accepted": accepted, "duplicates": duplicates, "quarantined": 0}


async def test_one_event_is_stored_as_it_was_told(cast: Cast) -> None:
    told = {
        **EVENT,
        "eventData": {"$ref": 1},
        "sessionId": "s",
        "anonymousId": "a",
        "messageId": "m",
    }
    answer = await cast.owner.post(
        PATH, json={**told, "timestamp": "2026-11-01T08:00:00.123456+01:00"}
    )
    assert (answer.status_code, answer.json()) == (200, counted(1))
    event = Analytics.from_stored((await stored())[0])
    assert event.model_dump(by_alias=True) | told == event.model_dump(by_alias=True)
    assert str(event.user_id) == cast.owner.id
    assert event.timestamp == datetime(2026, 11, 1, 7, 0, 0, 123000, tzinfo=UTC)
    assert event.received_at - event.timestamp > timedelta(0)


async def test_an_event_without_a_time_is_of_when_it_came_in(cast: Cast) -> None:
    await cast.owner.post(PATH, json=EVENT)
    row = (await stored())[0]
    assert row["timestamp"] == row["receivedAt"]
    assert {"sessionId", "anonymousId", "messageId", "externalId"}.isdisjoint(row)


@pytest.mark.parametrize("size", [0, 1, 500])
async def test_up_to_500_events_are_taken_at_once(cast: Cast, size: int) -> None:
    answer = await cast.owner.post(
        PATH, json=[{**EVENT, "messageId": f"m{n}"} for n in range(size)]
    )
    assert (answer.status_code, answer.json()) == (200, counted(size))
    assert len(await stored()) == size


async def test_more_than_500_events_are_refused(cast: Cast) -> None:
    refused = await cast.owner.post(PATH, json=[EVENT] * 501)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "too_long")
    assert await stored() == []


async def test_a_message_is_stored_once_for_an_app(cast: Cast) -> None:
    message = {**EVENT, "messageId": "m-1"}
    assert (await cast.owner.post(PATH, json=message)).json() == counted(1)
    assert (await cast.owner.post(PATH, json=message)).json() == counted(0, 1)
    mixed = [message, {**message, "messageId": "m-2"}, {**message, "messageId": "m-2"}, EVENT]
    assert (await cast.owner.post(PATH, json=mixed)).json() == counted(2, 2)
    assert (await cast.owner.post(PATH, json={**message, "appId": "boats"})).json() == counted(1)
    assert len(await stored()) == 4


async def test_racing_repeats_store_one(cast: Cast) -> None:
    batch = [{**EVENT, "messageId": f"m{n}"} for n in range(20)]
    answers = await asyncio.gather(*(cast.owner.post(PATH, json=batch) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["accepted"] for answer in answers) == 20
    assert sum(answer.json()["duplicates"] for answer in answers) == 180
    assert len(await stored()) == 20


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"appId": None}, "appId"),
        ({"appId": "a b"}, "appId"),
        ({"eventName": ""}, "eventName"),
        ({"eventName": "x" * 257}, "eventName"),
        ({"eventCategory": "other"}, "eventCategory"),
        ({"eventData": 1}, "eventData"),
        ({"timestamp": "x"}, "timestamp"),
        ({"messageId": ""}, "messageId"),
        ({"userId": 5}, "userId"),
        ({"unknown": 5}, "unknown"),
        ({"receivedAt": "2026-01-01T00:00:00Z"}, "receivedAt"),
    ],
    ids=repr,
)
async def test_a_wrong_event_is_named_alone_and_set_aside_among_others(
    cast: Cast, wrong: dict[str, Any], name: str
) -> None:
    refused = await cast.admin.post(PATH, json={**EVENT, **wrong})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{name}")
    assert await stored() == []
    taken = await cast.admin.post(PATH, json=[EVENT, {**EVENT, **wrong}])
    assert (taken.status_code, taken.json()) == (
        200,
        {"accepted": 1, "duplicates": 0, "quarantined": 1},
    )
    assert len(await stored()) == 1
    (event,) = (await cast.admin.get("/v1/analytics/quarantine")).json()["items"]
    assert (event["pointer"], event["event"]) == (f"/{name}", {**EVENT, **wrong})


@pytest.mark.parametrize("body", [1, "x", None], ids=repr)
async def test_what_is_no_event_is_refused(cast: Cast, body: Any) -> None:
    for caller in (cast.admin, cast.owner_in_app, cast.app_key):
        assert (await caller.request("POST", PATH, json=body)).status_code == 422
    assert await stored() == []


@pytest.mark.parametrize("item", [1, None, [], "x"], ids=repr)
async def test_what_is_no_event_is_set_aside_among_others(cast: Cast, item: Any) -> None:
    for caller in (cast.admin, cast.owner_in_app, cast.app_key):
        assert (await caller.request("POST", PATH, json=[item])).json()["quarantined"] == 1
    assert await stored() == []


async def test_a_user_sends_their_own_events_only(cast: Cast) -> None:
    assert (await cast.owner.post(PATH, json={**EVENT, "userId": "me"})).status_code == 200
    assert (await cast.owner.post(PATH, json={**EVENT, "userId": cast.owner.id})).status_code == 200
    assert {row["userId"] for row in await stored()} == {ObjectId(cast.owner.id)}
    for other in (cast.stranger.id, "someone", "f" * 24):
        assert (
            await cast.owner.post(PATH, json=[EVENT, {**EVENT, "userId": other}])
        ).status_code == 404
    assert len(await stored()) == 2


async def test_a_key_sends_for_users_for_others_and_for_nobody(cast: Cast) -> None:
    events = [
        {**EVENT, "userId": cast.owner.id},
        {**EVENT, "userId": "crm-7"},
        {**EVENT, "anonymousId": "a"},
    ]
    assert (await cast.app_key.post(PATH, json=events)).json() == counted(3)
    mine, theirs, nobodys = await stored()
    assert (mine["userId"], "externalId" in mine) == (ObjectId(cast.owner.id), False)
    assert (theirs["externalId"], "userId" in theirs) == ("crm-7", False)
    assert {"userId", "externalId"}.isdisjoint(nobodys)


async def test_an_event_of_a_user_who_is_not_there_is_refused(cast: Cast) -> None:
    refused = await cast.app_key.post(PATH, json={**EVENT, "userId": "f" * 24})
    assert (refused.status_code, refused.json()["errors"][0]) == (
        422,
        {"pointer": "/userId", "code": "unknown_user", "detail": "there is no such user"},
    )
    assert await stored() == []
    taken = await cast.app_key.post(PATH, json=[EVENT, {**EVENT, "userId": "f" * 24}])
    assert taken.json() == {"accepted": 1, "duplicates": 0, "quarantined": 1}
    (event,) = (await cast.app_key.get("/v1/analytics/quarantine")).json()["items"]
    assert (event["code"], event["event"]) == ("unknown_user", None)


async def test_callers_of_one_app_need_not_name_it_and_may_name_no_other(cast: Cast) -> None:
    nameless = {name: value for name, value in EVENT.items() if name != "appId"}
    for caller in (cast.app_key, cast.owner_in_app):
        assert (await caller.post(PATH, json=[nameless])).status_code == 200
        assert (
            await caller.post(PATH, json=[nameless, {**EVENT, "appId": "boats"}])
        ).status_code == 404
    assert [row["appId"] for row in await stored()] == ["notes", "notes"]


async def test_a_key_without_the_scope_is_refused_even_for_nothing(cast: Cast) -> None:
    for body in (EVENT, []):
        assert (await cast.reader.post(PATH, json=body)).status_code == 403


async def test_an_event_may_be_of_any_time_up_to_a_day_ahead(cast: Cast) -> None:
    moment = datetime.now(UTC)
    times = [rfc3339(moment + timedelta(hours=23)), "1999-12-31T23:59:59Z"]
    taken = await cast.owner.post(PATH, json=[{**EVENT, "timestamp": time} for time in times])
    assert (taken.status_code, taken.json()["accepted"]) == (200, 2)
    ahead = {**EVENT, "timestamp": rfc3339(moment + timedelta(hours=25))}
    refused = await cast.owner.post(PATH, json=ahead)
    error = refused.json()["errors"][0]
    assert (refused.status_code, error["pointer"], error["code"]) == (
        422,
        "/timestamp",
        "out_of_range",
    )
    assert (await cast.owner.post(PATH, json=[EVENT, ahead])).json()["quarantined"] == 1
    assert await Analytics.raw().count_documents({}) == 3


async def test_a_batch_that_fails_leaves_nothing(cast: Cast, client: AsyncMongoClient[Any]) -> None:
    batch = [{**EVENT, "messageId": f"m{n}"} for n in range(50)]
    async with failing(client, "commitTransaction", "insert", mode={"skip": 1}, errorCode=8):
        refused = await cast.owner.post(PATH, json=batch)
    assert refused.status_code >= 500
    assert await stored() == []
    assert (await cast.owner.post(PATH, json=batch)).json() == counted(50)
    assert (await cast.owner.post(PATH, json=[*batch, EVENT])).json() == counted(1, 50)


async def test_a_batch_is_seen_whole_or_not_at_all(cast: Cast) -> None:
    seen: set[int] = set()
    writing = True

    async def watch() -> None:
        while writing:
            rows = (await cast.reader.get("/v1/analytics/event-counts")).json()
            seen.add(rows[0]["count"] if rows else 0)

    watching = asyncio.create_task(watch())
    for _ in range(8):
        batch = [{**EVENT, "eventData": {"x": "y" * 500}}] * 500
        assert (await cast.app_key.post(PATH, json=batch)).json() == counted(500)
    writing = False
    await watching
    assert {count % 500 for count in seen} == {0}


async def test_500_users_are_seen_by_one_read(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [await User().add() for _ in range(500)]
    reads: list[int] = []
    existing = Leases._existing

    async def counting(self: Leases, parent: type[User], ids: list[ObjectId]) -> set[ObjectId]:
        reads.append(len(ids))
        return await existing(self, parent, ids)

    monkeypatch.setattr(Leases, "_existing", counting)
    batch = [{**EVENT, "userId": str(user.id)} for user in users]
    assert (await cast.app_key.post(PATH, json=batch)).json() == counted(500)
    assert reads == [500]


@pytest.mark.parametrize("size", [1, 2])
async def test_what_waited_for_a_killed_transaction_is_not_stored_where_the_rollups_have_passed(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Nobody ends that transaction for a minute; the same message, sent again, waits for it."""
    monkeypatch.setattr(inserts, "_IN_TIME", timedelta(seconds=0.2))
    batch = [{**EVENT, "messageId": f"m{number}"} for number in range(size)]
    client: AsyncMongoClient[Any] = Analytics.raw().database.client
    async with client.start_session() as killed:
        await killed.start_transaction()
        await Analytics.raw().insert_one({"appId": "notes", "messageId": "m0"}, session=killed)
        again = asyncio.ensure_future(cast.owner.post(PATH, json=batch))
        await asyncio.wait([again], timeout=0.5)
        await killed.abort_transaction()
    answer = await again
    rows = await stored()
    if answer.status_code == 200:  # it went in as one command, which had begun in time
        assert size == len(rows) == 1
    else:
        assert (answer.status_code, rows) == (503, [])
    assert (await cast.owner.post(PATH, json=batch)).status_code == 200
    assert len(await stored()) == size
