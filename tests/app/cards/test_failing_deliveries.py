"""Deliveries that fail, hang or are taken over."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.cards.delivery import LostQueue, deliver, deliver_due, empty
from app.cards.webhooks import DeliveryFailed
from app.web.observability.measures import CARD_FAILURES
from models.base import now
from models.card_event import CardEvent
from models.card_queue import CardQueue
from tests.app.cards.conftest import MakeSender
from tests.app.cards.receiver import Delivery, Receiver
from tests.cast import Cast, Programme
from tests.factories.cards import a_card
from tests.factories.deliveries import states


async def opened_and_paused(programme: Programme, path: str | None = None) -> None:
    for status in ("open", "paused", "open", "paused"):
        answer = await programme.manager.merge(path or programme.card_path, {"status": status})
        assert answer.status_code == 200


async def test_an_event_that_fails_for_good_is_given_up_in_plain_sight(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    receiver.refuse(lambda delivery: delivery.place[1] == 1)
    await opened_and_paused(listened)
    await deliver_due(await make_sender(webhook_max_attempts=3))
    assert await states() == ["dead", "delivered", "delivered", "delivered"]
    assert [delivery.place[1] for delivery in receiver.deliveries] == [1, 1, 1, 2, 3, 4]
    (dead,) = (
        await cast.admin.get("/v1/admin/card-events", params={"accountId": listened.account})
    ).json()["items"]
    assert (dead["subject"], dead["attempts"], dead["lastError"]) == (listened.card, 3, "HTTP 500")
    stored = str(await CardEvent.raw().find({}).to_list())
    assert "what the receiver says" not in stored


async def test_a_failure_waits_longer_each_time(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    async def answer(_: Delivery) -> int:
        return 503

    receiver.answer = answer
    await listened.manager.merge(listened.card_path, {"status": "open"})
    each = await make_sender(webhook_retry_seconds=60.0)
    for attempt in range(4):
        moment = now()
        assert await deliver_due(each) == 1
        row = await CardQueue.raw().find_one({"_id": ObjectId(listened.card)})
        assert row is not None
        base = timedelta(seconds=60) * 2**attempt
        assert base / 2 <= row["dueAt"] - moment <= base * 1.5 + timedelta(seconds=30)
        assert await deliver_due(each) == 0
        await CardQueue.raw().update_one(
            {"_id": ObjectId(listened.card)}, {"$set": {"dueAt": now()}}
        )


async def test_a_crash_between_delivery_and_its_note_delivers_again(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    await opened_and_paused(listened)
    each = await make_sender()
    queue = await CardQueue.claim()
    assert queue is not None
    event = await CardEvent.next_of(queue.id, 1)
    assert event is not None
    assert await each.send(event)  # and here the worker dies
    assert await deliver_due(each) == 0, "its lease still holds"
    await CardQueue.raw().update_one({"_id": queue.id}, {"$set": {"dueAt": now()}})
    await deliver_due(each)
    assert [delivery.place[1] for delivery in receiver.deliveries] == [1, 1, 2, 3, 4]
    assert (
        receiver.deliveries[0].headers["webhook-id"] == receiver.deliveries[1].headers["webhook-id"]
    )
    assert await states() == ["delivered"] * 4


async def test_a_worker_whose_lease_was_taken_over_notes_nothing(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    await opened_and_paused(listened)
    each = await make_sender()
    late = await CardQueue.claim()
    assert late is not None
    await CardQueue.raw().update_one({"_id": late.id}, {"$set": {"dueAt": now()}})
    taken_over = await CardQueue.claim()
    assert taken_over is not None
    with pytest.raises(LostQueue):
        await empty(late, each)
    assert await states() == ["waiting"] * 4
    await empty(taken_over, each)
    assert await states() == ["delivered"] * 4
    assert [delivery.place[1] for delivery in receiver.deliveries] == [1, 1, 2, 3, 4]


async def test_a_worker_whose_lease_was_taken_over_ends_no_queue_with_its_last_event(
    listened: Programme, make_sender: MakeSender
) -> None:
    gone = await listened.manager.delete(f"{listened.path}/spending-profiles/{listened.spare}")
    assert gone.is_success, gone.text
    each, late = await make_sender(), await CardQueue.claim()
    assert late is not None
    await CardQueue.raw().update_one({"_id": late.id}, {"$set": {"dueAt": now()}})
    taken_over = await CardQueue.claim()
    assert taken_over is not None
    with pytest.raises(LostQueue):
        await empty(late, each)
    assert (await states(), await CardQueue.raw().count_documents({"_id": late.id})) == (
        ["waiting"],
        1,
    )
    await empty(taken_over, each)
    assert (await states(), await CardQueue.raw().count_documents({"_id": late.id})) == (
        ["delivered"],
        0,
    )


async def test_a_lease_that_is_about_to_run_out_sends_nothing(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    await listened.manager.merge(listened.card_path, {"status": "open"})
    queue = await CardQueue.claim()
    assert queue is not None
    with pytest.raises(LostQueue):
        await empty(queue, await make_sender(webhook_timeout_seconds=31.0))
    assert receiver.deliveries == []


async def test_several_workers_deliver_each_event_once_and_each_card_in_order(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    cards = [await a_card(listened) for _ in range(8)]
    workers = [await make_sender(webhook_concurrency=4) for _ in range(3)]

    async def change() -> None:
        for path in cards:
            await opened_and_paused(listened, path)

    await asyncio.gather(change(), *(deliver_due(each) for each in workers))
    await asyncio.gather(*(deliver_due(each) for each in workers))
    places = [delivery.place for delivery in receiver.deliveries]
    assert len(places) == len(set(places)) == 8 * 5
    for path in cards:
        assert [sequence for card, sequence in places if card == path.rsplit("/", 1)[1]] == [
            1,
            2,
            3,
            4,
            5,
        ]
    assert set(await states()) == {"delivered"}


async def test_cards_are_delivered_beside_one_another(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    met = asyncio.Barrier(4)

    async def answer(_: Delivery) -> int:
        await met.wait()  # each is answered once four are there
        return 204

    each = await make_sender(webhook_max_attempts=1)
    await a_card(listened)
    await deliver_due(each)  # so that the account is known to do well
    receiver.answer = answer
    for _ in range(4):
        await a_card(listened)
    await deliver_due(each)
    assert await states() == ["delivered"] * 5


async def test_without_a_webhook_events_are_skipped(
    programme: Programme, make_sender: MakeSender
) -> None:
    await deliver_due(await make_sender())
    assert set(await states()) == {"skipped"}
    assert await CardQueue.raw().count_documents({"waiting": {"$gt": 0}}) == 0


async def test_the_loop_delivers_until_it_is_stopped(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    each = await make_sender(worker_poll_seconds=0.01)
    stop, came = asyncio.Event(), asyncio.Event()

    async def answer(_: Delivery) -> int:
        came.set()
        return 204

    receiver.answer = answer
    loop = asyncio.create_task(deliver(each.settings, stop))
    await listened.manager.merge(listened.card_path, {"status": "open"})
    await came.wait()
    stop.set()
    await loop
    assert await states() == ["delivered"]


async def test_what_came_while_its_queue_was_worked_on_is_not_forgotten(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    more: list[Any] = [{"status": "paused"}, {"status": "open"}]

    async def answer(_: Delivery) -> int:
        if more:
            assert (
                await listened.manager.merge(listened.card_path, more.pop(0))
            ).status_code == 200
        return 204

    receiver.answer = answer
    await listened.manager.merge(listened.card_path, {"status": "open"})
    await deliver_due(await make_sender())
    assert [delivery.place[1] for delivery in receiver.deliveries] == [1, 2, 3]
    assert await CardQueue.raw().count_documents({"waiting": {"$gt": 0}}) == 0


async def test_a_slow_webhook_leaves_places_to_other_accounts(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    there = f"/v1/accounts/{listened.elsewhere}"
    await cast.admin.merge(there, {"webhookUrl": f"{receiver.url}/other"})
    other_came = asyncio.Event()

    async def answer(delivery: Delivery) -> int:
        if delivery.path == "/other":
            other_came.set()
        await (
            other_came.wait()
        )  # the first account's cards are slow until the other account is heard
        return 204

    receiver.answer = answer
    for _ in range(6):
        await a_card(listened)
    await cast.admin.merge(f"{there}/spending-profiles/{listened.foreign_profile}", {"name": "New"})
    await deliver_due(await make_sender(webhook_concurrency=4, webhook_max_attempts=1))
    assert set(await states()) == {"delivered"}


async def test_an_attempt_that_failed_after_its_lease_was_taken_over_is_not_noted(
    listened: Programme,
    receiver: Receiver,
    make_sender: MakeSender,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sender was stopped while the receiver was at it; meanwhile another delivered all."""
    await opened_and_paused(listened)
    slow, each = await make_sender(), await make_sender()
    late = await CardQueue.claim()
    assert late is not None

    async def stopped(_: CardEvent) -> bool:
        await CardQueue.raw().update_one({"_id": late.id}, {"$set": {"dueAt": now()}})
        await deliver_due(each)
        raise DeliveryFailed("timeout", "timeout")

    monkeypatch.setattr(slow, "send", stopped)
    with pytest.raises(LostQueue):
        await empty(late, slow)
    rows = await CardEvent.raw().find({}).sort("sequence", 1).to_list()
    assert [(row["state"], row["attempts"], row.get("lastError")) for row in rows] == [
        ("delivered", 1, None)
    ] * 4
    queue = await CardQueue.raw().find_one({"_id": late.id})
    assert queue is not None
    assert (queue["done"], queue["waiting"], queue["fence"]) == (4, 0, 2)


async def test_failed_attempts_are_counted_by_few_reasons(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    def counted() -> dict[str, float]:
        found = [sample for metric in CARD_FAILURES.collect() for sample in metric.samples]
        return {each.labels["reason"]: each.value for each in found if each.name.endswith("_total")}

    before = counted()
    receiver.refuse()
    await opened_and_paused(listened)
    await deliver_due(await make_sender(webhook_max_attempts=1))
    after = counted()
    told = {
        reason: count - before.get(reason, 0)
        for reason, count in after.items()
        if count != before.get(reason, 0)
    }
    assert sum(told.values()) == await CardEvent.raw().count_documents({"state": "dead"}) > 0
    assert set(told) == {"http_5xx"}
