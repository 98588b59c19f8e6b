"""The outbox: each change writes its event in its own transaction, and a profile's change reaches
each of its cards."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient

from app.cards.jobs import PERIODIC, handlers, tell_batch
from app.jobs import run_one
from app.jobs.periodic import ensure_periodic
from models.base import now
from models.card import Card
from models.card_event import CardEvent
from models.card_queue import CardQueue
from models.job import Job
from tests.app.faults import failing
from tests.cast import Cast, Programme
from tests.factories.cards import a_card
from tests.harness import Api

MANY = 450


async def events(subject: str) -> list[dict[str, Any]]:
    rows = await CardEvent.raw().find({"subject": ObjectId(subject)}).sort("sequence", 1).to_list()
    return [
        {name: row.get(name) for name in ("sequence", "type", "changed", "status", "state")}
        for row in rows
    ]


async def many_cards(programme: Programme) -> list[ObjectId]:
    """More cards with the profile than a batch holds, put into the database."""
    account, profile, user = map(
        ObjectId, (programme.account, programme.profile, programme.holder.id)
    )
    row = {
        "accountId": account,
        "userId": user,
        "spendingProfileId": profile,
        "status": "open",
        "lastFour": "0000",
    }
    cards = [
        {"_id": ObjectId(), **row, "version": 1, "createdAt": now(), "updatedAt": now()}
        for _ in range(MANY)
    ]
    await Card.raw().insert_many(cards)
    queues = [
        CardQueue(id=card["_id"], account_id=account, due_at=now()).stored() for card in cards
    ]
    await CardQueue.raw().insert_many(queues)
    return [card["_id"] for card in cards]


async def run_fan_out(api: Api) -> None:
    """The periodic job, as the worker runs it."""
    for name, seconds in PERIODIC.items():
        await ensure_periodic(name, name, seconds)
    await Job.raw().update_many({}, {"$set": {"runAt": now()}})
    assert await run_one(handlers(api.settings))
    row = await Job.raw().find_one({"kind": next(iter(PERIODIC))})
    assert row is not None
    assert "lastError" not in row


async def test_each_change_of_a_card_is_the_next_event(programme: Programme) -> None:
    await programme.manager.merge(programme.card_path, {"status": "open"})
    await programme.manager.merge(programme.card_path, {"spendingProfileId": None, "spendLimit": 9})
    await programme.manager.merge(programme.card_path, {"status": "open"})  # changes nothing
    await programme.manager.merge(programme.card_path, {"status": "closed"})
    assert await events(programme.card) == [
        {
            "sequence": 1,
            "type": "card.created",
            "changed": [],
            "status": "pending",
            "state": "waiting",
        },
        {
            "sequence": 2,
            "type": "card.updated",
            "changed": ["status"],
            "status": "open",
            "state": "waiting",
        },
        {
            "sequence": 3,
            "type": "card.updated",
            "changed": ["spendLimit", "spendingProfileId"],
            "status": "open",
            "state": "waiting",
        },
        {
            "sequence": 4,
            "type": "card.updated",
            "changed": ["status"],
            "status": "closed",
            "state": "waiting",
        },
    ]
    queue = await CardQueue.raw().find_one({"_id": ObjectId(programme.card)})
    assert queue is not None
    assert (queue["last"], queue["done"], queue["waiting"]) == (4, 0, 4)


async def test_a_change_of_a_profile_is_one_event(programme: Programme) -> None:
    await programme.manager.merge(programme.profile_path, {"name": "New", "limits": {"DAILY": 5}})
    made, changed = await events(programme.profile)
    assert (made["type"], changed["type"]) == (
        "spending_profile.created",
        "spending_profile.updated",
    )
    assert changed["changed"] == ["limits", "name"]
    assert len(await events(programme.card)) == 1


async def test_a_refused_change_leaves_no_event(programme: Programme) -> None:
    before = await CardEvent.raw().count_documents({})
    await programme.manager.merge(programme.card_path, {"userId": programme.outsider.id})
    await programme.manager.merge(programme.card_path, {"status": "paused"})
    await programme.manager.merge(
        programme.card_path, {"status": "open"}, headers={"If-Match": '"9"'}
    )
    await programme.manager.post(
        f"{programme.path}/cards", json={"userId": programme.outsider.id, "lastFour": "1111"}
    )
    assert await CardEvent.raw().count_documents({}) == before


@pytest.mark.parametrize("command", ["insert", "update", "findAndModify", "commitTransaction"])
async def test_card_and_event_are_written_together_or_not_at_all(
    programme: Programme, client: AsyncMongoClient[Any], command: str
) -> None:
    before = (await programme.manager.get(programme.card_path)).json()
    async with failing(client, command, mode={"times": 1}, errorCode=96):
        failed = await programme.manager.merge(programme.card_path, {"status": "open"})
    assert failed.status_code in (500, 503)
    assert (await programme.manager.get(programme.card_path)).json() == before
    assert len(await events(programme.card)) == 1
    assert (
        await programme.manager.merge(programme.card_path, {"status": "open"})
    ).status_code == 200
    assert [event["sequence"] for event in await events(programme.card)] == [1, 2]


async def test_every_card_of_a_changed_profile_is_told(api: Api, programme: Programme) -> None:
    cards = await many_cards(programme)
    changed = await programme.manager.merge(programme.profile_path, {"limits": {"DAILY": 7}})
    assert changed.json()["affectedCards"] == MANY + 1
    await run_fan_out(api)
    told = await CardEvent.raw().find({"type": "card.updated"}).to_list()
    assert sorted(row["subject"] for row in told) == sorted([*cards, ObjectId(programme.card)])
    assert {(row["status"], *row["changed"]) for row in told} == {
        ("open", "effectiveLimits"),
        ("pending", "effectiveLimits"),
    }
    assert [event["sequence"] for event in await events(programme.card)] == [1, 2]
    await run_fan_out(api)
    assert await CardEvent.raw().count_documents({"type": "card.updated"}) == MANY + 1


async def test_a_fan_out_that_was_cut_off_goes_on_where_it_was(
    api: Api, programme: Programme
) -> None:
    await many_cards(programme)
    await programme.manager.merge(programme.profile_path, {"limits": {"DAILY": 7}})
    event = await CardEvent.find_fan_out()
    assert event is not None
    first = await tell_batch(event)
    assert 0 < first < MANY
    assert await tell_batch(event) == 0, "a worker that did not notice tells nobody twice"
    await run_fan_out(api)
    per_card = await CardEvent.raw().distinct("subject", {"type": "card.updated"})
    assert (
        len(per_card) == await CardEvent.raw().count_documents({"type": "card.updated"}) == MANY + 1
    )


async def test_a_profile_on_no_card_is_not_fanned_out(programme: Programme) -> None:
    await programme.manager.merge(
        f"{programme.path}/spending-profiles/{programme.spare}", {"name": "New"}
    )
    assert await CardEvent.find_fan_out() is None


async def test_events_hold_nothing_of_a_person(programme: Programme) -> None:
    await programme.manager.merge(programme.card_path, {"userId": programme.colleague.id})
    rows = await CardEvent.raw().find({}).to_list()
    assert len(rows) >= 2
    for person in (programme.holder.id, programme.colleague.id):
        assert person not in str(rows)


async def test_admins_see_events_by_state_and_account(cast: Cast, programme: Programme) -> None:
    card = (await a_card(programme)).rsplit("/", 1)[1]
    path = "/v1/admin/card-events"
    waiting = (
        await cast.admin.get(path, params={"state": "waiting", "accountId": programme.account})
    ).json()["items"]
    assert [item["subject"] for item in waiting][:2] == [card, programme.card]
    assert {item["accountId"] for item in waiting} == {programme.account}
    first = (await cast.admin.get(path, params={"state": "waiting", "limit": 2})).json()
    rest = (
        await cast.admin.get(path, params={"state": "waiting", "cursor": first["nextCursor"]})
    ).json()
    assert len(first["items"] + rest["items"]) == await CardEvent.raw().count_documents({})
    assert (await cast.admin.get(path)).json()["items"] == []
    assert (await cast.admin.get(path, params={"state": "lost"})).status_code == 422
