"""Joins that unite too many ids wait for a decision; a wrong one is undone for what is still
raw."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from app.analytics.jobs import handlers, recount_lately
from app.analytics.rollup import joins, undo
from app.analytics.rollup.joins import carry_out_joins, settle_merges
from app.jobs import run_one
from app.settings import Settings
from models.analytics import Analytics
from models.app import App
from models.base import Raw, now
from models.job import Job
from models.person import IdentityJoin
from tests.app.analytics.truth import differences
from tests.cast import Cast
from tests.factories.events import counts, happen, roll_up
from tests.factories.segment import send, write_key
from tests.harness import Api, Caller

JOINS = "/v1/analytics/joins"


async def says(key: Caller, anonymous: str, user: str) -> None:
    await send(key, {"type": "identify", "anonymousId": anonymous, "userId": user})


async def join_of(name: str) -> Raw:
    row = await IdentityJoin.raw().find_one({"_id": f"notes/{name}"})
    assert row is not None
    return row


async def active(cast: Cast) -> int:
    (row,) = await counts(cast, "active-users")
    return int(row["activeUsers"])


async def settled() -> None:
    """The worker has done everything that is to be done, and the rollups are right."""
    await carry_out_joins(most=3)
    await roll_up()
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    assert await differences(today, ["UTC"]) == []


@pytest.fixture(autouse=True)
async def declared(cast: Cast) -> None:
    """The truth asks for a property."""
    await App(id="notes", analytics_properties=["plan"]).add()


@pytest.fixture
async def key(api: Api, cast: Cast) -> Caller:
    """A write key; the owner has been seen by two ids besides their own, and three ids are one
    person at most."""
    key = await write_key(api)
    for number in range(5):
        await happen(key, "browsed", 2, anonymousId=f"a-{number}")
    await says(key, "a-0", cast.owner.id)
    await says(key, "a-1", cast.owner.id)
    await settled()
    return key


async def decide(cast: Cast, decision: str, **ids: Any) -> Any:
    return await cast.admin.post(f"{JOINS}/{decision}", json={"appId": "notes", **ids})


async def test_a_join_to_more_ids_than_are_one_person_waits_for_a_decision(
    cast: Cast, key: Caller
) -> None:
    assert await active(cast) == 4  # the owner, and a-2 to a-4
    await says(key, "a-2", cast.owner.id)
    await settled()
    assert await active(cast) == 4
    (shown,) = (await cast.app_key.get(JOINS)).json()["items"]
    created = shown.pop("createdAt")
    assert created
    told = {
        "appId": "notes",
        "anonymousId": "a-2",
        "externalId": None,
        "toUserId": cast.owner.id,
        "toExternalId": None,
    }
    assert shown == {**told, "state": "aside", "ids": 4}
    assert (
        await Analytics.raw().count_documents({"anonymousId": "a-2", "userId": {"$exists": True}})
        == 1
    )  # identify


async def test_an_accepted_join_is_carried_out_and_a_refused_one_is_not(
    cast: Cast, key: Caller
) -> None:
    await says(key, "a-2", cast.owner.id)
    await says(key, "a-3", cast.owner.id)
    await settled()
    assert [each["anonymousId"] for each in (await cast.app_key.get(JOINS)).json()["items"]] == [
        "a-2",
        "a-3",
    ]
    for _ in range(2):
        assert (await decide(cast, "accept", anonymousId="a-2")).json()["state"] == "due"
        assert (await decide(cast, "refuse", anonymousId="a-3")).json()["state"] == "refused"
    await settled()
    assert await active(cast) == 3
    assert (await decide(cast, "accept", anonymousId="a-2")).json()["state"] == "joined"
    refused = await decide(cast, "refuse", anonymousId="a-2")
    assert (refused.status_code, refused.json()["code"]) == (409, "bad_transition")
    assert (await cast.app_key.get(JOINS)).json()["items"] == []
    assert [
        row["anonymousId"]
        for row in (await cast.app_key.get(JOINS, params={"state": "refused"})).json()["items"]
    ]
    await says(key, "a-3", cast.owner.id)  # what is said again changes nothing
    await settled()
    assert await active(cast) == 3
    assert (await decide(cast, "accept", anonymousId="a-3")).json()[
        "state"
    ] == "due"  # a refusal can be taken back
    await settled()
    assert await active(cast) == 2


async def test_an_external_id_that_unites_too_many_is_set_aside_too(
    cast: Cast, key: Caller
) -> None:
    for number in range(5):
        await says(key, f"b-{number}", "everybody")
    await settled()
    states = [(await join_of(f"a:b-{number}")).get("state") for number in range(5)]
    assert sorted(map(str, states)) == ["aside"] * 3 + ["joined"] * 2


async def test_a_link_by_a_server_is_a_decision_itself(cast: Cast, key: Caller) -> None:
    path = "/v1/apps/notes/external-ids/crm-7"
    await happen(key, "bought", userId="crm-7")
    assert (await cast.admin.put(path, json={"userId": cast.owner.id})).status_code == 201
    await settled()
    assert (await join_of("e:crm-7"))["state"] == "joined"
    stays = await decide(cast, "undo", externalId="crm-7")
    assert (stays.status_code, stays.json()["code"]) == (409, "bad_transition")


@pytest.mark.parametrize("late", ["rolled up", "in the unrolled events"])
async def test_a_wrong_join_is_undone_for_what_is_raw(
    cast: Cast, api: Api, key: Caller, late: str
) -> None:
    await happen(
        key, "browsed", 3, anonymousId="a-0"
    )  # after the join: given to the owner when it is rolled up
    await happen(cast.owner, "opened", 1, anonymousId="a-0")  # said to be the owner's by the owner
    if late == "rolled up":
        await roll_up()
        await settle_merges()
    mine = {"userId": ObjectId(cast.owner.id)}
    for _ in range(2):
        assert (await decide(cast, "undo", anonymousId="a-0")).json()["state"] == "undoing"
    assert [
        (job.kind, job.state)
        for job in [Job.from_stored(row) async for row in Job.raw().find({"kind": "undo-joins"})]
    ] == [("undo-joins", "due")]
    while await run_one(
        {name: each for name, each in handlers(api.settings).items() if name == "undo-joins"}
    ):
        continue
    assert (await decide(cast, "undo", anonymousId="a-0")).json()["state"] == "undone"
    await settled()
    assert await active(cast) == 5  # the owner with a-1, and a-0, a-2, a-3, a-4
    left = [
        row["eventName"]
        async for row in Analytics.raw().find({**mine, "anonymousId": "a-0"}).sort("eventName", 1)
    ]
    assert left == ["identify", "opened"]
    own = {"anonymousId": "a-0", "userId": None, "externalId": None}
    assert await Analytics.raw().count_documents({**own, "eventName": "browsed"}) == 5
    assert (await recount_lately())["mended"] == {}
    await says(key, "a-0", cast.owner.id)  # it stays by itself
    await happen(key, "browsed", 1, anonymousId="a-0")
    await settled()
    assert await active(cast) == 5
    refused = await decide(cast, "accept", anonymousId="a-0")
    assert (refused.status_code, refused.json()["code"]) == (409, "bad_transition")


async def test_after_an_undo_the_erased_take_only_what_is_theirs(cast: Cast, key: Caller) -> None:
    await decide(cast, "undo", anonymousId="a-0")
    await undo.undo_joins()
    assert (await cast.owner.delete("/v1/users/me")).status_code == 200
    assert await Analytics.raw().count_documents({"anonymousId": "a-0"}) == 2
    assert await Analytics.raw().count_documents({"anonymousId": "a-1"}) == 0


async def test_what_was_joined_to_an_external_id_goes_with_it(cast: Cast, api: Api) -> None:
    """a-1 is crm-1, crm-1 is said to be the owner: undone, a-1 is still crm-1."""
    server = await api.key("events:write", "users:write")
    batch = {"path": "/v1/batch?appId=notes"}
    await happen(cast.admin, "browsed", 2, anonymousId="a-1")
    await happen(cast.admin, "bought", 2, userId="crm-1")
    await happen(cast.owner, "opened", 1)
    await send(server, {"type": "identify", "anonymousId": "a-1", "userId": "crm-1"}, **batch)
    await settled()
    await send(server, {"type": "alias", "previousId": "crm-1", "userId": cast.owner.id}, **batch)
    await carry_out_joins()
    await happen(cast.admin, "browsed", 1, anonymousId="a-1")
    await roll_up()
    assert await active(cast) == 1
    assert (await decide(cast, "undo", externalId="crm-1")).json()["state"] == "undoing"
    await undo.undo_joins()
    await settled()
    assert await active(cast) == 2
    owners = {"userId": ObjectId(cast.owner.id)}
    assert sorted([row["eventName"] async for row in Analytics.raw().find(owners)]) == [
        "alias",
        "opened",
    ]
    await decide(cast, "undo", anonymousId="a-1")
    await undo.undo_joins()
    await settled()
    assert await active(cast) == 3


async def test_an_undo_that_died_is_ended_by_the_next_worker(
    cast: Cast, key: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(undo, "_BATCH", 1)
    await decide(cast, "undo", anonymousId="a-0")
    for name in ("_take_back", "_recount"):
        with monkeypatch.context() as patch:
            patch.setattr(undo, name, dies)
            with pytest.raises(RuntimeError):
                await undo.undo_joins()
    assert await undo.undo_joins() == 1
    assert await undo.undo_joins() == 0
    await settled()
    assert await active(cast) == 5


async def test_what_a_former_version_joined_is_not_undone(cast: Cast, key: Caller) -> None:
    """Its events do not tell which of them were given."""
    await IdentityJoin.raw().update_one({"_id": "notes/a:a-0"}, {"$unset": {"state": ""}})
    assert (await decide(cast, "undo", anonymousId="a-0")).status_code == 409


@pytest.mark.parametrize("ids", [{}, {"anonymousId": "a-0", "externalId": "crm-1"}])
async def test_a_decision_names_one_id(cast: Cast, key: Caller, ids: Any) -> None:
    refused = await decide(cast, "undo", **ids)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/anonymousId")
    assert (await decide(cast, "undo", anonymousId="a-unknown")).status_code == 404


async def test_the_list_is_of_one_app_page_by_page(cast: Cast, key: Caller, api: Api) -> None:
    assert (await cast.admin.get(JOINS)).json()["errors"][0]["pointer"] == "?appId"
    assert (await cast.app_key.get(JOINS, params={"appId": "boats"})).status_code in (403, 404)
    seen, cursor = [], None
    while True:
        params = {"appId": "notes", "state": "joined", "limit": 1} | (
            {"cursor": cursor} if cursor else {}
        )
        page = (await cast.admin.get(JOINS, params=params)).json()
        seen += [each["anonymousId"] for each in page["items"]]
        if (cursor := page.get("nextCursor")) is None:
            break
    assert seen == ["a-0", "a-1"]


@pytest.mark.parametrize(
    ("decision", "state"), [("accept", "aside"), ("refuse", "aside"), ("undo", "joined")]
)
async def test_of_those_who_decide_the_same_at_once_none_is_refused(
    cast: Cast, decision: str, state: Any
) -> None:
    for number in range(4):
        user: Any = ObjectId(cast.owner.id)
        await IdentityJoin(
            id=f"notes/a:kiosk-{number}", app_id="notes", user_id=user, state=state
        ).add()
        body = {"appId": "notes", "anonymousId": f"kiosk-{number}"}
        asked = (cast.admin.post(f"/v1/analytics/joins/{decision}", json=body) for _ in range(6))
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}


async def test_an_app_key_decides_nothing(cast: Cast, key: Caller) -> None:
    for caller in (cast.app_key, key, cast.owner):
        for decision in ("accept", "refuse", "undo"):
            body = {"appId": "notes", "anonymousId": "a-0"}
            assert (await caller.post(f"{JOINS}/{decision}", json=body)).status_code == 403
    assert (await join_of("a:a-0"))["state"] == "joined"


def test_the_settings_default_is_the_bound_of_the_joins() -> None:
    assert Settings.model_fields["analytics_most_joined_ids"].default == joins.MOST_IDS
