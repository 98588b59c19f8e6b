"""Erasing a person: out of events, rollups, bitmaps and quarantine; sums of others stay as they
are."""

from datetime import timedelta

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.analytics.rollup.joins import carry_out_joins
from models.analytics import Analytics
from models.base import Raw, now
from models.day import CountDay, PeopleDay, PropertyDay
from models.person import IdentityJoin, Person
from models.quarantine import QuarantinedEvent
from tests.app.analytics.truth import differences
from tests.cast import Cast
from tests.factories.events import counts, happen, roll_up
from tests.harness import Api

OLD = timedelta(days=40)


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


async def test_values_of_properties_that_are_declared_no_more_go_with_a_person(
    cast: Cast, database: AsyncDatabase[Raw]
) -> None:
    """Their days stay until a recount goes over them, which may be never."""
    await cast.admin.put("/v1/apps/notes", json={"analyticsProperties": ["city"]})
    await happen(cast.owner, "opened", eventData={"city": "a secret place"})
    await happen(cast.stranger, "opened", eventData={"city": "Bruges"})
    await roll_up()
    assert (await cast.admin.put("/v1/apps/notes", json={})).status_code == 200
    assert "a secret place" in str(await PropertyDay.raw().find({}).to_list())
    await cast.owner.delete("/v1/users/me")
    (after,) = await PropertyDay.raw().find({}).to_list()
    assert after["values"] == ["Bruges"]
    group = {"$group": {"_id": "$property"}}
    asked = {"pipeline": [{"$match": {"property": {"$gt": ""}}}, group], "cursor": {}}
    explain = {"aggregate": "propertydays", **asked}
    plan = await database.command("explain", explain, verbosity="queryPlanner")
    assert "DISTINCT_SCAN" in str(plan), "however many days there are"
