"""Events of the erased stay away: by the ids that were theirs, stored before or new, by whatever
route."""

from datetime import timedelta
from typing import Any

import pytest

from app.analytics.rollup.joins import carry_out_joins
from app.jobs import run_one
from app.relations.jobs import handlers
from app.work import HOOKS
from models.analytics import Analytics
from models.base import now
from models.erasure import RESENT_FOR, ErasedMessage, Erasure, message_digest
from models.quarantine import QuarantinedEvent
from tests.cast import Cast, enrol
from tests.conftest import MakeApi
from tests.factories.events import roll_up
from tests.factories.segment import DONE, send, write_key
from tests.harness import Api, Caller


async def known_by_three_ids(cast: Cast, api: Api) -> tuple[Caller, list[Any]]:
    """A write key, and what it sent of the owner: by an anonymous id, an external one, and the
    user's own."""
    key = await write_key(api)
    path = "/v1/apps/notes/external-ids/crm-7"
    assert (await cast.admin.put(path, json={"userId": cast.owner.id})).status_code == 201
    track = {"type": "track", "event": "read"}
    items = [
        {**track, "anonymousId": "a-1", "messageId": "m-1"},
        {**track, "userId": "crm-7", "messageId": "m-2"},
        {**track, "userId": cast.owner.id, "messageId": "m-3"},
        {"type": "identify", "anonymousId": "a-1", "userId": cast.owner.id, "messageId": "m-4"},
    ]
    assert (await send(key, *items)).json() == DONE
    return key, items


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "at once"])
async def test_a_retried_batch_brings_nobody_back(cast: Cast, api: Api, settled: bool) -> None:
    key, items = await known_by_three_ids(cast, api)
    if settled:
        await carry_out_joins()
        await roll_up()
    assert (await cast.admin.delete(f"/v1/users/{cast.owner.id}")).status_code == 200
    await Analytics.raw().delete_many(
        {"userId": None}
    )  # what came in before the join was carried out
    assert (await send(key, *items)).json() == DONE
    assert await Analytics.raw().count_documents({}) == 0
    await roll_up()
    for path in ("event-counts", "active-users"):
        rows = (await cast.admin.get(f"/v1/analytics/{path}", params={"appId": "notes"})).json()
        assert rows in ([], [{"activeUsers": 0}])
    assert {row["code"] for row in await QuarantinedEvent.raw().find({}).to_list()} == {
        "unknown_user"
    }
    kept = str(await QuarantinedEvent.raw().find({}).to_list())
    assert not [each for each in ("a-1", "crm-7", cast.owner.id) if each in kept]


@pytest.mark.parametrize(
    "ids", [{"anonymousId": "a-1"}, {"userId": "crm-7"}], ids=["anonymous", "external"]
)
async def test_the_ids_stay_away_on_our_own_route_too(cast: Cast, api: Api, ids: Any) -> None:
    await known_by_three_ids(cast, api)
    await carry_out_joins()
    assert (await cast.owner.delete("/v1/users/me")).status_code == 200
    (name,) = ids
    event = {"appId": "notes", "eventName": "e", "eventCategory": "custom", **ids}
    refused = await cast.app_key.post("/v1/analytics/events", json=event)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{name}")
    assert refused.json()["errors"][0]["code"] == "unknown_user"
    among = await cast.app_key.post("/v1/analytics/events", json=[event, {**event, name: "other"}])
    assert among.json() == {"accepted": 1, "duplicates": 0, "quarantined": 1}


async def test_both_ids_of_one_event_are_the_users(cast: Cast, api: Api) -> None:
    key = await write_key(api)
    track = {"type": "track", "event": "read"}
    await send(key, {**track, "userId": "crm-7", "anonymousId": "a-9"})
    await cast.admin.put("/v1/apps/notes/external-ids/crm-7", json={"userId": cast.owner.id})
    await carry_out_joins()
    await cast.owner.delete("/v1/users/me")
    await send(key, {**track, "anonymousId": "a-9"}, {**track, "userId": "crm-7"})
    assert await Analytics.raw().count_documents({}) == 0


async def test_an_id_that_no_event_had_is_noted_too(cast: Cast, api: Api) -> None:
    key = await write_key(api)
    await cast.admin.put("/v1/apps/notes/external-ids/crm-8", json={"userId": cast.owner.id})
    await cast.owner.delete("/v1/users/me")
    await send(key, {"type": "track", "event": "read", "userId": "crm-8"})
    assert await Analytics.raw().count_documents({}) == 0


async def test_others_go_on(cast: Cast, api: Api) -> None:
    key, _ = await known_by_three_ids(cast, api)
    await carry_out_joins()
    await cast.owner.delete("/v1/users/me")
    other = await api.key("events:write", app_id="other")
    track = {"type": "track", "event": "read"}
    await send(key, {**track, "anonymousId": "a-2"}, {**track, "userId": "crm-9"}, track)
    await send(
        key, {**track, "anonymousId": "a-1", "userId": cast.stranger.id}, {**track, "userId": "a-1"}
    )
    await send(other, {**track, "anonymousId": "a-1"}, {**track, "userId": "crm-7"})
    assert await Analytics.raw().count_documents({}) == 7
    assert await Erasure.erased_keys(
        ["notes/a:a-1", "notes/e:a-1", "other/a:a-1", "notes/e:crm-7"]
    ) == {
        "notes/a:a-1",
        "notes/e:crm-7",
    }


@pytest.fixture
async def sent(make_api: MakeApi) -> tuple[Cast, dict[str, Any]]:
    """The owner sent an event with a `messageId`, and was erased; what was sent, without who it
    was."""
    cast = await enrol(await make_api(credential_cache_seconds=0))
    event = {
        "appId": "notes",
        "eventName": "read",
        "eventCategory": "custom",
        "messageId": "signup-owner@example.com",
    }
    assert (await cast.owner.post("/v1/analytics/events", json=event)).json()["accepted"] == 1
    assert (await cast.owner.delete("/v1/users/me")).status_code == 200
    return cast, event


@pytest.mark.parametrize("who", ["nobody", "a new anonymous id", "another user"])
async def test_a_message_of_the_erased_stays_away_whoever_it_is_said_to_be_of(
    sent: tuple[Cast, dict[str, Any]], who: str
) -> None:
    cast, event = sent
    event |= {
        "nobody": {},
        "a new anonymous id": {"anonymousId": "a-77"},
        "another user": {"userId": cast.stranger.id},
    }[who]
    refused = await cast.app_key.post("/v1/analytics/events", json=event)
    error = refused.json()["errors"][0]
    assert (refused.status_code, error["pointer"], error["code"]) == (
        422,
        "/messageId",
        "unknown_user",
    )
    among = await cast.app_key.post(
        "/v1/analytics/events", json=[event, {**event, "messageId": "m-new"}]
    )
    assert among.json() == {"accepted": 1, "duplicates": 0, "quarantined": 1}
    assert [row["messageId"] for row in await Analytics.raw().find({}).to_list()] == ["m-new"]
    assert "a-77" not in str(await QuarantinedEvent.raw().find({}).to_list())


async def test_a_message_is_of_its_app_and_comes_back_to_no_other(
    sent: tuple[Cast, dict[str, Any]],
) -> None:
    cast, event = sent
    accepted = await cast.admin.post("/v1/analytics/events", json={**event, "appId": "boats"})
    assert accepted.json() == {"accepted": 1, "duplicates": 0, "quarantined": 0}


async def test_what_is_kept_of_a_message_says_nothing_and_ends(
    sent: tuple[Cast, dict[str, Any]],
) -> None:
    cast, event = sent
    (kept,) = await ErasedMessage.raw().find({}).to_list()
    assert set(kept) == {"_id", "createdAt", "updatedAt", "version", "expiresAt"}
    assert kept["_id"] != message_digest(b"", "notes", event["messageId"])
    assert abs(kept["expiresAt"] - now() - RESENT_FOR) < timedelta(minutes=5)
    await ErasedMessage.raw().update_one({}, {"$set": {"expiresAt": now() - timedelta(seconds=1)}})
    assert (await cast.app_key.post("/v1/analytics/events", json=event)).json()["accepted"] == 1


async def test_segments_clients_are_told_that_all_is_well(
    sent: tuple[Cast, dict[str, Any]], api: Api
) -> None:
    key = await write_key(api)
    track = {"type": "track", "event": "read", "anonymousId": "a-78"}
    answer = await send(
        key, {**track, "messageId": sent[1]["messageId"]}, {**track, "messageId": "m-2"}
    )
    assert answer.json() == DONE
    assert [row["messageId"] for row in await Analytics.raw().find({}).to_list()] == ["m-2"]


async def test_nothing_is_looked_up_while_nobody_was_erased(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    monkeypatch.setattr(ErasedMessage, "known", looked.append)
    event = {"appId": "notes", "eventName": "e", "eventCategory": "custom", "messageId": "m-1"}
    assert (await cast.app_key.post("/v1/analytics/events", json=event)).json()["accepted"] == 1
    assert looked == []


async def test_many_messages_of_one_user_are_kept_once_each_over_several_batches(
    cast: Cast, api: Api
) -> None:
    rows = [
        {"appId": "notes", "eventName": "e", "eventCategory": "custom", "messageId": f"m-{number}"}
        for number in range(1500)
    ]
    for start in range(0, 1500, 500):
        await cast.owner.post("/v1/analytics/events", json=rows[start : start + 500])
    assert (await cast.admin.delete(f"/v1/users/{cast.owner.id}")).status_code in (200, 202)
    while await run_one(handlers(api.settings, HOOKS)):
        continue
    assert await ErasedMessage.raw().count_documents({}) == 1500
