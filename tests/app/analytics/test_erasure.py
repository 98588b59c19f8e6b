"""Erasing a person: out of events, rollups, bitmaps and quarantine; sums of others stay as they
are."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.analytics.rollup.advance import advance
from app.analytics.rollup.joins import carry_out_joins
from models.analytics import Analytics
from models.base import now, rfc3339
from models.day import CountDay, PeopleDay
from models.person import IdentityJoin, Person
from models.quarantine import QuarantinedEvent
from models.rollup_state import RollupState
from tests.app.analytics.truth import differences
from tests.cast import Cast
from tests.harness import Api, Caller

NOTHING = timedelta(0)
OLD = timedelta(days=40)


async def roll_up() -> None:
    await RollupState.ensure()
    while await advance(timedelta(milliseconds=-5)):
        continue


async def happen(
    caller: Caller, name: str, times: int = 1, ago: timedelta = NOTHING, **fields: Any
) -> None:
    event = {
        "appId": "notes",
        "eventName": name,
        "eventCategory": "custom",
        "timestamp": rfc3339(now() - ago),
        **fields,
    }
    answer = await caller.post("/v1/analytics/events", json=[event] * times)
    assert answer.json()["accepted"] == times


async def counts(cast: Cast, path: str = "event-counts", **params: Any) -> Any:
    return (await cast.admin.get(f"/v1/analytics/{path}", params=params)).json()


@pytest.mark.parametrize("rolled_up", [True, False])
async def test_an_erased_person_is_counted_no_more(cast: Cast, rolled_up: bool) -> None:
    await cast.admin.put("/v1/apps/notes", json={"analyticsProperties": ["plan"]})
    await happen(cast.owner, "opened", 3, sessionId="s-1", eventData={"plan": "team"})
    await happen(cast.owner, "secret-of-the-owner")
    await happen(cast.stranger, "opened", 2, sessionId="s-2", eventData={"plan": "free"})
    if rolled_up:
        await roll_up()
    assert await counts(cast, "active-users") == [{"activeUsers": 2}]
    receipt = (await cast.owner.delete("/v1/users/me")).json()
    assert receipt["deleted"]["analytics"] == 4
    assert receipt["deleted"].get("analyticspeople") == (1 if rolled_up else None)
    assert await counts(cast) == [{"eventName": "opened", "count": 2}]
    assert await counts(cast, "active-users") == [{"activeUsers": 1}]
    assert (await counts(cast, "sessions"))[0]["sessions"] == 1
    for document in (CountDay, PeopleDay):
        assert "secret-of-the-owner" not in str(await document.raw().find({}).to_list())
    await roll_up()
    assert (
        await differences(now().replace(hour=0, minute=0, second=0, microsecond=0), ["UTC"]) == []
    )


async def test_numbers_are_never_given_again(cast: Cast) -> None:
    await happen(cast.owner, "opened")
    await roll_up()
    (before,) = await Person.raw().find({}).to_list()
    await cast.owner.delete("/v1/users/me")
    assert await Person.raw().count_documents({}) == 0
    await happen(cast.stranger, "opened")
    await roll_up()
    (after,) = await Person.raw().find({}).to_list()
    assert after["number"] > before["number"]


async def test_who_turns_out_to_be_a_user_goes_with_the_user(cast: Cast, api: Api) -> None:
    key = await api.key("events:write", app_id="notes")
    await happen(key, "browsed", 2, anonymousId="a-1")
    await happen(key, "bought", 1, userId="crm-7")
    await happen(key, "browsed", 1, anonymousId="a-2")
    await roll_up()
    assert await counts(cast, "active-users") == [{"activeUsers": 3}]
    batch = {"batch": [{"type": "identify", "anonymousId": "a-1", "userId": cast.owner.id}]}
    assert (await key.post("/v1/batch", json=batch)).status_code == 200
    path = "/v1/apps/notes/external-ids/crm-7"
    assert (await cast.admin.put(path, json={"userId": cast.owner.id})).status_code == 201
    await carry_out_joins()
    assert await IdentityJoin.raw().count_documents({"due": True}) == 0
    await roll_up()
    assert await counts(cast, "active-users") == [{"activeUsers": 2}]
    assert await Analytics.raw().count_documents({"userId": ObjectId(cast.owner.id)}) == 4
    await happen(
        key, "browsed", 1, anonymousId="a-1"
    )  # a client that has not heard of the user yet
    await roll_up()
    assert await counts(cast, "active-users") == [{"activeUsers": 2}]
    await cast.owner.delete("/v1/users/me")
    assert await counts(cast) == [{"eventName": "browsed", "count": 1}]
    assert await counts(cast, "active-users") == [{"activeUsers": 1}]
    assert [row["_id"] for row in await Person.raw().find({}).to_list()] == ["notes/a:a-2"]


async def test_what_was_set_aside_of_a_person_goes_too(cast: Cast) -> None:
    bad = {"appId": "notes", "eventName": "", "eventCategory": "custom", "userId": cast.owner.id}
    assert (await cast.app_key.post("/v1/analytics/events", json=[bad])).json()["quarantined"] == 1
    assert await QuarantinedEvent.raw().count_documents({}) == 1
    await cast.owner.delete("/v1/users/me")
    assert await QuarantinedEvent.raw().count_documents({}) == 0
