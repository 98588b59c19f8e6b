"""Segment's HTTP API: what its clients send becomes events, and what cannot be counted never costs
the batch."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from models.base import now, rfc3339
from models.person import IdentityJoin
from models.profile import Profile
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.segment import DONE, TRACK, basic, send, set_aside, stored, write_key
from tests.harness import Api


@pytest.mark.parametrize("packed", [False, True])
async def test_a_batch_is_taken_by_basic_authorization_plain_or_packed(
    cast: Cast, api: Api, packed: bool
) -> None:
    key = await write_key(api)
    body = json.dumps({"batch": [TRACK], "sentAt": rfc3339(now())}).encode()
    headers = (
        basic(key)
        | {"Content-Type": "application/json"}
        | ({"Content-Encoding": "gzip"} if packed else {})
    )
    answer = await key.post(
        "/v1/batch", content=gzip.compress(body) if packed else body, headers=headers
    )
    assert (answer.status_code, answer.json()) == (200, DONE)
    (row,) = await stored()
    assert (row["appId"], row["eventName"], row["eventCategory"]) == ("notes", "signup", "custom")
    assert (row["externalId"], row["messageId"], row["eventData"]) == (
        "crm-7",
        "m-1",
        {"plan": "team"},
    )


@pytest.mark.parametrize(
    ("path", "item", "expected"),
    [
        (
            "track",
            {"event": "paid", "properties": {"category": "conversion"}},
            ("paid", "conversion"),
        ),
        ("track", {"event": "paid", "properties": {"category": "shoes"}}, ("paid", "custom")),
        ("page", {"name": "Home", "properties": {"path": "/"}}, ("Viewed Home Page", "engagement")),
        ("page", {}, ("Loaded a Page", "engagement")),
        ("screen", {"name": "Settings"}, ("Viewed Settings Screen", "engagement")),
        ("identify", {"traits": {"name": "Ann"}}, ("identify", "custom")),
        ("group", {"groupId": "g-1"}, ("group", "custom")),
        ("alias", {"previousId": "a-1"}, ("alias", "custom")),
    ],
)
async def test_each_single_call_becomes_an_event(
    api: Api, path: str, item: Any, expected: tuple[str, str]
) -> None:
    key = await write_key(api)
    answer = await key.post(f"/v1/{path}", json={**item, "userId": 12}, headers=basic(key))
    assert (answer.status_code, answer.json()) == (200, DONE)
    (row,) = await stored()
    assert (row["eventName"], row["eventCategory"], row["externalId"]) == (*expected, "12")


async def test_the_clients_clock_is_corrected_by_when_it_sent(api: Api) -> None:
    key = await write_key(api)
    sent = now() + timedelta(hours=3)  # a clock that is three hours fast
    happened = sent - timedelta(minutes=10)
    await send(key, {**TRACK, "timestamp": rfc3339(happened)}, sentAt=rfc3339(sent))
    (row,) = await stored()
    assert abs(row["receivedAt"] - row["timestamp"] - timedelta(minutes=10)) < timedelta(seconds=5)
    assert row["originalTimestamp"] == happened


async def test_a_repeated_batch_changes_nothing(api: Api) -> None:
    key = await write_key(api)
    for _ in range(3):
        assert (
            await send(key, TRACK, {**TRACK, "messageId": "m-2"}, {"type": "nonsense"})
        ).json() == DONE
    assert len(await stored()) == 2
    assert len(await set_aside()) == 1


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        (1, "/type"),
        ({}, "/type"),
        ({"type": "track"}, "/eventName"),
        ({"type": "track", "event": ""}, "/eventName"),
        ({"type": "track", "event": "e", "properties": {"a": "x" * 33_000}}, "/eventData"),
        ({"type": "track", "event": "e", "userId": "x" * 257}, "/userId"),
    ],
    ids=repr,
)
async def test_a_bad_event_is_set_aside_and_never_costs_the_batch(
    cast: Cast, api: Api, item: Any, pointer: str
) -> None:
    key = await write_key(api)
    assert (await send(key, item, TRACK)).json() == DONE
    assert [row["eventName"] for row in await stored()] == ["signup"]
    listed = (await cast.admin.get("/v1/analytics/quarantine", params={"appId": "notes"})).json()[
        "items"
    ]
    assert [(event["pointer"], event["appId"]) for event in listed] == [(pointer, "notes")]
    assert listed[0]["detail"]
    assert (await cast.app_key.get("/v1/analytics/quarantine")).json()["items"] == listed


async def test_the_quarantine_is_listed_page_by_page(cast: Cast, api: Api) -> None:
    key = await write_key(api)
    await send(key, *({"type": "nothing", "n": number} for number in range(5)))
    seen, cursor = [], None
    while True:
        page = (
            await cast.admin.get(
                "/v1/analytics/quarantine",
                params={"limit": 2, "cursor": cursor or ""} if cursor else {"limit": 2},
            )
        ).json()
        seen += [item["event"]["n"] for item in page["items"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert sorted(seen) == [0, 1, 2, 3, 4]


async def test_a_user_of_ours_is_the_events_user_and_an_erased_one_is_not_brought_back(
    cast: Cast, api: Api
) -> None:
    key = await write_key(api)
    await send(
        key, {**TRACK, "userId": cast.owner.id}, {**TRACK, "userId": "f" * 24, "messageId": "m-2"}
    )
    mine, theirs = await stored()
    assert (mine["userId"], theirs["externalId"]) == (ObjectId(cast.owner.id), "f" * 24)
    assert (await cast.admin.delete(f"/v1/users/{cast.owner.id}")).status_code == 200
    await send(
        key,
        {
            **TRACK,
            "userId": cast.owner.id,
            "messageId": "m-3",
            "properties": {"email": "o@example.com"},
        },
    )
    assert len(await stored()) == 1
    (kept,) = await set_aside()
    assert (kept["code"], "event" in kept, "userId" in kept) == ("unknown_user", False, False)


async def test_a_linked_external_id_is_its_user(cast: Cast, api: Api) -> None:
    key = await write_key(api)
    path = "/v1/apps/notes/external-ids/crm-7"
    assert (await cast.admin.get(path)).status_code == 404
    assert (await cast.admin.put(path, json={"userId": cast.owner.id})).status_code == 201
    assert (await cast.admin.put(path, json={"userId": cast.owner.id})).status_code == 200
    assert (await cast.admin.put(path, json={"userId": cast.stranger.id})).status_code == 409
    assert (await cast.admin.put(path, json={"userId": "f" * 24})).status_code in (409, 422)
    assert (await cast.admin.get(path)).json()["userId"] == cast.owner.id
    await send(key, TRACK)
    assert (await stored())[0]["userId"] == ObjectId(cast.owner.id)


async def test_identify_notes_who_an_anonymous_id_is_and_the_first_word_counts(
    cast: Cast, api: Api
) -> None:
    key = await write_key(api)
    identify = {"type": "identify", "anonymousId": "a-1"}
    await send(key, {**identify, "userId": cast.owner.id}, {**identify, "userId": cast.stranger.id})
    await send(key, {"type": "alias", "previousId": "a-2", "userId": "crm-9"})
    joins = {row["_id"]: row for row in await IdentityJoin.raw().find({}).to_list()}
    assert joins["notes/a:a-1"]["userId"] == ObjectId(cast.owner.id)
    assert joins["notes/a:a-2"]["externalId"] == "crm-9"
    assert set(joins) == {"notes/a:a-1", "notes/a:a-2"}


async def test_only_accepted_items_say_who_is_who(cast: Cast, api: Api) -> None:
    server = await api.key("events:write", "users:write", app_id="notes")
    identify = {"type": "identify", "anonymousId": "a-1", "userId": cast.owner.id}
    refused = [
        {**identify, "traits": {"a": "x" * 33_000}},
        {**identify, "anonymousId": "a" * 257},
        {**identify, "userId": "u" * 257},
        {**identify, "timestamp": rfc3339(now() + timedelta(days=3))},
    ]
    alias = {"type": "alias", "userId": "crm-9"}
    await send(
        server, *refused, {**alias, "previousId": "b" * 257}, {**alias, "previousId": "b" * 900_000}
    )
    assert await IdentityJoin.raw().find({}).to_list() == []
    assert len(await set_aside()) == 5
    await send(server, {**alias, "previousId": "b" * 256})
    joins = [row["_id"] async for row in IdentityJoin.raw().find({}, {"_id": 1}).sort("_id", 1)]
    assert joins == [f"notes/{kind}:{'b' * 256}" for kind in "ae"]


async def test_a_user_who_is_gone_is_nobodys_join(cast: Cast, api: Api) -> None:
    assert (await cast.admin.delete(f"/v1/users/{cast.owner.id}")).status_code == 200
    await send(
        await write_key(api), {"type": "identify", "anonymousId": "a-1", "userId": cast.owner.id}
    )
    assert await IdentityJoin.raw().find({}).to_list() == []


async def test_traits_are_written_by_an_allow_list_and_never_by_a_public_key(
    cast: Cast, api: Api
) -> None:
    await cast.admin.put("/v1/apps/notes", json={"identifyTraits": ["plan"]})
    identify = {
        "type": "identify",
        "userId": cast.owner.id,
        "traits": {"plan": "team", "role": "admin"},
    }
    public = await write_key(api)
    server = await api.key("events:write", "users:write")
    written = []
    for key in (public, server):
        await send(key, identify, path="/v1/batch?appId=notes")
        profile = await Profile.raw().find_one({"userId": ObjectId(cast.owner.id)})
        assert profile is not None
        written.append(profile["metadata"])
    assert written == [{}, {"plan": "team"}]
    assert [row["eventData"] for row in await stored()] == [{"plan": "team", "role": "admin"}] * 2


async def test_errors_carry_code_and_message(cast: Cast, api: Api) -> None:
    key = await write_key(api)
    wrong = await send(api.caller("sk_nothing"), TRACK)
    assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthenticated")
    assert wrong.json()["message"]
    for encoding, status in (("br", 415), ("gzip", 422)):
        refused = await send(key, TRACK, headers={"Content-Encoding": encoding})
        assert (refused.status_code, bool(refused.json()["message"])) == (status, True)
    for body in ([], 1, {"batch": 1}, {}, {"batch": [TRACK] * 2501}):
        assert (await key.post("/v1/batch", json=body, headers=basic(key))).status_code == 422
    assert (await send(await api.key("events:write"), TRACK)).status_code == 422  # of no app
    assert await stored() == []


async def test_a_bomb_is_too_large(api: Api) -> None:
    key = await write_key(api)
    headers = basic(key) | {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    bomb = gzip.compress(b" " * 50_000_000)
    assert (await key.post("/v1/batch", content=bomb, headers=headers)).status_code == 413


async def test_a_write_key_adds_events_and_does_nothing_else(cast: Cast, api: Api) -> None:
    key = await write_key(api)
    assert (await send(key, TRACK)).status_code == 200
    for path in (
        "/v1/analytics/event-counts",
        "/v1/analytics/quarantine",
        f"/v1/users/{cast.owner.id}",
    ):
        assert (await key.get(path)).status_code == 403


async def test_a_write_key_has_a_rate(api: Api, cast: Cast) -> None:
    made = await cast.admin.post(
        "/v1/api-keys",
        json={"name": "web", "scopes": ["events:write"], "appId": "notes", "eventsPerSecond": 2},
    )
    key = api.caller(made.json()["key"])
    answers = [await send(key, {**TRACK, "messageId": f"m-{n}"}) for n in range(6)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert int(refused[0].headers["retry-after"]) >= 1
    assert len(await stored()) == 6 - len(refused)


async def test_a_write_key_has_a_quota_of_the_day(make_api: MakeApi) -> None:
    first, second = (
        await make_api(write_key_events_per_day=10),
        await make_api(write_key_events_per_day=10),
    )
    key = await write_key(first)
    batch = [{**TRACK, "messageId": f"m-{n}"} for n in range(7)]
    assert (await send(key, *batch)).status_code == 200
    refused = await send(key, *({**item, "messageId": "n" + item["messageId"]} for item in batch))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    seconds = (
        datetime.now(UTC).replace(hour=0, minute=0, second=0)
        + timedelta(days=1)
        - datetime.now(UTC)
    ).seconds
    assert abs(int(refused.headers["retry-after"]) - seconds) < 30
    first.app.state.intake.limits._meters[
        next(iter(first.app.state.intake.limits._meters))
    ].synced_at = 0
    await send(key, *batch[:1])  # tells the database
    other = second.caller(key.credential)
    assert (await send(other, *batch)).status_code == 429
    assert (await send(other, *batch[:2])).status_code == 200
