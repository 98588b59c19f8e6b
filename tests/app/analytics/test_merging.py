"""Two people who are merged are one in analytics: counted once, and erased as one."""

import pytest
from bson import ObjectId

from app.analytics.rollup.joins import carry_out_joins, settle_merges
from models.analytics import Analytics
from models.base import now
from models.erasure import Erasure
from models.person import IdentityJoin, Person, PersonMerge
from tests.app.analytics.truth import differences
from tests.cast import Cast
from tests.factories.events import counts, happen, roll_up
from tests.harness import Api


async def merge(cast: Cast) -> None:
    body = {"into": cast.stranger.id, "keep": "target"}
    answer = await cast.admin.post(f"/v1/users/{cast.owner.id}/merge", json=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("rolled_up", [True, False])
async def test_they_are_counted_as_one(cast: Cast, rolled_up: bool) -> None:
    await cast.admin.put("/v1/apps/notes", json={"analyticsProperties": ["plan"]})
    await happen(cast.owner, "opened", 3, sessionId="s-1", eventData={"plan": "team"})
    await happen(cast.stranger, "opened", 2, sessionId="s-2", eventData={"plan": "free"})
    if rolled_up:
        await roll_up()
        assert await counts(cast, "active-users") == [{"activeUsers": 2}]
    await merge(cast)
    await roll_up()
    assert await counts(cast) == [{"eventName": "opened", "count": 5}]
    assert await counts(cast, "active-users") == [{"activeUsers": 1}]
    await settle_merges()
    assert await PersonMerge.raw().count_documents({}) == 0
    assert await counts(cast, "active-users") == [{"activeUsers": 1}]
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    assert await differences(today, ["UTC"]) == []


async def test_they_are_erased_as_one_and_the_archive_knows_both(cast: Cast) -> None:
    await happen(cast.owner, "opened", 3)
    await happen(cast.stranger, "closed", 2)
    await roll_up()
    await merge(cast)
    receipt = (await cast.stranger.delete("/v1/users/me")).json()
    assert receipt["deleted"]["analytics"] == 5
    assert await counts(cast) == []
    assert await Person.raw().count_documents({}) == 0
    erased = {row["_id"] async for row in Erasure.raw().find({})}
    assert erased == {ObjectId(cast.owner.id), ObjectId(cast.stranger.id)}


async def test_what_an_app_said_of_the_one_is_of_the_other(cast: Cast, api: Api) -> None:
    key = await api.key("events:write", app_id="notes")
    await happen(key, "browsed", 2, anonymousId="a-1")
    await roll_up()
    batch = {"batch": [{"type": "identify", "anonymousId": "a-1", "userId": cast.owner.id}]}
    assert (await key.post("/v1/batch", json=batch)).status_code == 200
    await merge(cast)
    await carry_out_joins()
    await roll_up()
    join = await IdentityJoin.raw().find_one({}) or {}
    assert (str(join["userId"]), join["state"]) == (cast.stranger.id, "joined")
    theirs = {"userId": ObjectId(cast.stranger.id)}
    assert await Analytics.raw().count_documents(theirs) == 3
