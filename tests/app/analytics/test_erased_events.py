"""Events of the erased stay away: by the ids that were theirs, stored before or new, by whatever route."""

from typing import Any

import pytest

from app.analytics.joins import carry_out_joins
from models.analytics import Analytics
from models.erasure import Erasure
from models.quarantine import QuarantinedEvent
from tests.app.analytics.test_erasure import roll_up
from tests.app.analytics.test_segment import DONE, send, write_key
from tests.cast import Cast
from tests.harness import Api, Caller


async def known_by_three_ids(cast: Cast, api: Api) -> tuple[Caller, list[Any]]:
    """A write key, and what it sent of the owner: by an anonymous id, an external one, and the user's own."""
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
    await Analytics.raw().delete_many({"userId": None})  # what came in before the join was carried out
    assert (await send(key, *items)).json() == DONE
    assert await Analytics.raw().count_documents({}) == 0
    await roll_up()
    for path in ("event-counts", "active-users"):
        rows = (await cast.admin.get(f"/v1/analytics/{path}", params={"appId": "notes"})).json()
        assert rows in ([], [{"activeUsers": 0}])
    assert {row["code"] for row in await QuarantinedEvent.raw().find({}).to_list()} == {"unknown_user"}
    kept = str(await QuarantinedEvent.raw().find({}).to_list())
    assert not [each for each in ("a-1", "crm-7", cast.owner.id) if each in kept]


@pytest.mark.parametrize("ids", [{"anonymousId": "a-1"}, {"userId": "crm-7"}], ids=["anonymous", "external"])
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
    await send(key, {**track, "anonymousId": "a-1", "userId": cast.stranger.id}, {**track, "userId": "a-1"})
    await send(other, {**track, "anonymousId": "a-1"}, {**track, "userId": "crm-7"})
    assert await Analytics.raw().count_documents({}) == 7
    assert await Erasure.erased_keys(["notes/a:a-1", "notes/e:a-1", "other/a:a-1", "notes/e:crm-7"]) == {
        "notes/a:a-1",
        "notes/e:crm-7",
    }
