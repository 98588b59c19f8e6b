"""Delivery to an account's webhook: signed, in order, at least once, and given up only in plain
sight."""

import asyncio
from datetime import timedelta

from bson import ObjectId

from app.cards.delivery import deliver_due
from models.base import now
from models.card_event import CardEvent
from tests.app.cards.conftest import MakeSender
from tests.app.cards.receiver import Delivery, Receiver
from tests.cast import Cast, Programme
from tests.factories.cards import a_card
from tests.factories.deliveries import opened_and_paused


async def test_an_event_says_what_changed_and_the_card_as_it_is(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    await listened.manager.merge(listened.card_path, {"status": "open"})
    await deliver_due(await make_sender())
    (delivery,) = receiver.deliveries
    card = (await listened.manager.get(listened.card_path)).json()
    assert (delivery.path, delivery.headers["content-type"]) == ("/hooks", "application/json")
    assert delivery.event["type"] == "card.updated"
    assert delivery.event["data"] == {
        "accountId": listened.account,
        "cardId": listened.card,
        "sequence": 1,
        "changed": ["status"],
        "status": "open",
        "card": card,
    }
    row = await CardEvent.raw().find_one({})
    assert row is not None
    assert (row["state"], row["attempts"]) == ("delivered", 1)
    assert timedelta(days=29) < row["expiresAt"] - now() <= timedelta(days=30)


async def test_a_profiles_event_says_how_many_cards_it_affects(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    await listened.manager.merge(listened.profile_path, {"limits": {"DAILY": 7}})
    await deliver_due(await make_sender())
    data = receiver.deliveries[0].event["data"]
    assert (data["spendingProfileId"], data["affectedCards"]) == (listened.profile, 1)
    assert data["spendingProfile"]["limits"] == {"MONTHLY": 500_000, "DAILY": 7}


async def test_deliveries_are_signed_by_the_secret_that_was_shown(
    cast: Cast, listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    first = (await cast.admin.post(f"{listened.path}/webhook-secret")).json()["webhookSecret"]
    second = (await cast.admin.post(f"{listened.path}/webhook-secret")).json()["webhookSecret"]
    await listened.manager.merge(listened.card_path, {"status": "open"})
    await deliver_due(await make_sender())
    (delivery,) = receiver.deliveries
    row = await CardEvent.raw().find_one({})
    assert row is not None
    assert delivery.headers["webhook-id"] == str(row["_id"])
    assert delivery.is_signed_by(second)
    assert delivery.is_signed_by(first), "for a day after the rotation"
    assert not delivery.is_signed_by("whsec_" + "A" * 43 + "=")
    await listened.manager.merge(listened.card_path, {"status": "paused"})
    await cast.admin.post(f"{listened.path}/webhook-secret")
    await deliver_due(await make_sender())
    assert not receiver.deliveries[1].is_signed_by(first)
    assert receiver.deliveries[1].is_signed_by(second)


async def test_a_failure_holds_back_the_cards_later_events_and_no_other_cards(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    failures = iter([500, 429, 302])

    async def answer(delivery: Delivery) -> int:
        return next(failures, 204) if delivery.subject == listened.card else 204

    receiver.answer = answer
    other = await a_card(listened)
    await opened_and_paused(listened)
    await opened_and_paused(listened, other)
    await deliver_due(await make_sender())
    mine = [delivery.place for delivery in receiver.deliveries if delivery.subject == listened.card]
    assert [sequence for _, sequence in mine] == [1, 1, 1, 1, 2, 3, 4]
    theirs = [
        delivery.place[1] for delivery in receiver.deliveries if delivery.subject != listened.card
    ]
    assert theirs == [1, 2, 3, 4, 5]
    assert {delivery.path for delivery in receiver.deliveries} == {"/hooks"}, (
        "no redirect is followed"
    )
    row = await CardEvent.raw().find_one({"subject": ObjectId(listened.card), "sequence": 1})
    assert row is not None
    assert (row["state"], row["attempts"], row["lastError"]) == ("delivered", 4, "HTTP 302")


async def test_a_webhook_that_is_slow_or_away_is_tried_again(
    listened: Programme, receiver: Receiver, make_sender: MakeSender
) -> None:
    never = asyncio.Event()
    tries = 0

    async def answer(_: Delivery) -> int:
        nonlocal tries
        tries += 1
        if tries == 1:
            await never.wait()
        if tries == 2:
            raise ConnectionResetError
        return 204

    receiver.answer = answer
    await listened.manager.merge(listened.card_path, {"status": "open"})
    await deliver_due(await make_sender(webhook_timeout_seconds=0.1))
    never.set()
    row = await CardEvent.raw().find_one({})
    assert row is not None
    assert (row["state"], row["attempts"], row["lastError"]) == (
        "delivered",
        3,
        "RemoteProtocolError",
    )
    assert len({delivery.headers["webhook-id"] for delivery in receiver.deliveries}) == 1
