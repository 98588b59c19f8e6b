"""What was given up is delivered again: at the end of its subject's events, and nothing of what is
gone."""

import asyncio

from bson import ObjectId

from app.cards.delivery import deliver_due
from models.base import now, rfc3339
from models.card_event import CardEvent
from models.card_queue import CardQueue
from tests.app.cards.conftest import MakeSender
from tests.app.cards.receiver import Receiver
from tests.cast import Cast, Programme
from tests.factories.deliveries import opened_and_paused, states


async def test_what_was_given_up_is_delivered_again_after_the_cards_other_events(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    receiver.refuse(lambda delivery: delivery.place[1] == 1)
    await opened_and_paused(listened)
    each = await make_sender(webhook_max_attempts=2)
    await deliver_due(each)
    dead, done = [
        str(row["_id"])
        for row in await CardEvent.raw().find({}).sort("sequence", 1).limit(2).to_list()
    ]
    again = f"/v1/admin/card-events/{dead}/redeliver"
    asked = await asyncio.gather(*(cast.admin.post(again) for _ in range(4)))
    assert sorted(one.status_code for one in asked) == [200, 409, 409, 409]
    shown = next(one.json() for one in asked if one.status_code == 200)
    assert (shown["state"], shown["sequence"], shown["attempts"]) == ("waiting", 5, 0)
    assert (shown.get("lastError"), shown.get("expiresAt")) == (None, None)
    assert (await cast.admin.post(f"/v1/admin/card-events/{done}/redeliver")).json()[
        "code"
    ] == "bad_transition"
    await listened.manager.merge(listened.card_path, {"status": "open"})
    await deliver_due(each)
    assert [delivery.place[1] for delivery in receiver.deliveries][-2:] == [5, 6]
    assert receiver.deliveries[-2].event["data"]["card"]["status"] == "open", "what is so now"
    assert set(await states()) == {"delivered"}


async def test_a_deletion_that_was_given_up_is_told_again_and_nothing_else_of_what_is_gone(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    receiver.refuse()
    await listened.manager.merge(listened.profile_path, {"name": "Other"})
    await listened.manager.delete(listened.profile_path)
    each = await make_sender(webhook_max_attempts=1)
    await deliver_due(each)
    about = {"subject": ObjectId(listened.profile)}
    changed, deleted = [
        str(row["_id"]) for row in await CardEvent.raw().find(about).sort("sequence", 1).to_list()
    ]
    assert (await cast.admin.post(f"/v1/admin/card-events/{changed}/redeliver")).status_code == 404
    receiver.refuse(lambda _: False)
    assert (await cast.admin.post(f"/v1/admin/card-events/{deleted}/redeliver")).json()[
        "sequence"
    ] == 2
    await deliver_due(each)
    told = receiver.deliveries[-1]
    assert (told.event["type"], told.headers["webhook-id"]) == ("spending_profile.deleted", deleted)
    assert await CardQueue.raw().find_one({"_id": ObjectId(listened.profile)}) is None


async def test_nothing_is_told_again_of_a_profile_whose_deletion_waits(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    receiver.refuse()
    await listened.manager.merge(listened.profile_path, {"name": "Other"})
    each = await make_sender(webhook_max_attempts=1)
    await deliver_due(each)
    await listened.manager.delete(listened.profile_path)
    receiver.refuse(lambda _: False)
    dead = await CardEvent.raw().find_one({"subject": ObjectId(listened.profile), "state": "dead"})
    assert dead is not None
    path = f"/v1/admin/card-events/{dead['_id']}/redeliver"
    assert (await cast.admin.post(path)).status_code == 404
    await deliver_due(each)
    about = [
        row
        async for row in (
            CardEvent.raw().find({"subject": ObjectId(listened.profile)}).sort("sequence", 1)
        )
    ]
    assert [(row["sequence"], row["state"]) for row in about] == [(1, "dead"), (2, "delivered")]


async def test_a_worker_of_the_former_queue_has_no_say_in_a_reopened_one(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    receiver.refuse()
    await listened.manager.delete(listened.profile_path)
    late = await CardQueue.claim()
    assert late is not None and late.id == ObjectId(listened.profile)
    await CardQueue.raw().update_one({"_id": late.id}, {"$set": {"dueAt": now()}})
    await deliver_due(await make_sender(webhook_max_attempts=1))
    dead = await CardEvent.raw().find_one({"state": "dead"})
    assert dead is not None
    assert (
        await cast.admin.post(f"/v1/admin/card-events/{dead['_id']}/redeliver")
    ).status_code == 200
    assert await CardQueue.claim() is not None
    assert await late.release(now()) is False


async def test_a_redelivery_that_is_asked_for_twice_by_one_key_is_one(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    receiver.refuse(lambda delivery: delivery.place[1] == 1)
    await opened_and_paused(listened)
    await deliver_due(await make_sender(webhook_max_attempts=1))
    dead = await CardEvent.raw().find_one({"state": "dead"})
    assert dead is not None
    path = f"/v1/admin/card-events/{dead['_id']}/redeliver"
    first, repeat = [
        await cast.admin.post(path, headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert (first.status_code, repeat.status_code, repeat.json()) == (200, 200, first.json())
    assert (await cast.admin.post(path)).json()["code"] == "bad_transition"


async def test_an_event_that_waits_says_when_it_is_tried_next(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    receiver.refuse()
    await opened_and_paused(listened)
    await deliver_due(await make_sender(webhook_retry_seconds=600.0))
    queue = await CardQueue.raw().find_one({"_id": ObjectId(listened.card)})
    assert queue is not None and queue["dueAt"] > now()
    waiting = (await cast.admin.get("/v1/admin/card-events?state=waiting")).json()["items"]
    assert len(waiting) > 1
    assert {event["nextAttemptAt"] for event in waiting} == {rfc3339(queue["dueAt"])}
    await CardEvent.raw().update_many({}, {"$set": {"state": "dead"}})
    dead = (await cast.admin.get("/v1/admin/card-events")).json()["items"]
    assert [event.get("nextAttemptAt") for event in dead] == [None] * len(waiting)
    again = await cast.admin.post(f"/v1/admin/card-events/{dead[0]['id']}/redeliver")
    assert (again.status_code, again.json()["nextAttemptAt"]) == (200, rfc3339(queue["dueAt"]))


AFTER = {"accountId": "b" * 24, "subject": "c" * 24, "sequence": 1}
