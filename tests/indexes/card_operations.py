"""The operations of card queues and card events, to be explained."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from models import CardEvent, CardQueue
from models.base import Raw
from tests.filled import NOW

Operation = Callable[[], Awaitable[Any]]


async def queue() -> CardQueue:
    """A queue that is there and waits."""
    row = await CardQueue.raw().find_one(
        {"dueAt": {"$gt": datetime(2000, 1, 1, tzinfo=UTC)}, "waiting": {"$gt": 0}}
    )
    assert row is not None
    return CardQueue.from_stored(row)


async def fan_out_and_put_back() -> None:
    event = CardEvent(
        id=ObjectId(), account_id=ObjectId(), subject=ObjectId(), sequence=1, type="card.updated"
    )
    await event.fan_out_to(ObjectId(), session=None)
    await event.fan_out_to(None, session=None)
    await event.put_back(2, session=None)


DEAD: Raw = {"accountId": ObjectId(), "updatedAt": {"$gte": NOW - timedelta(days=1), "$lt": NOW}}


async def find_dead() -> None:
    """The first page and the next, of everybody's and of an account's."""
    after = (ObjectId(), ObjectId(), 3)
    for where in (
        {},
        {"updatedAt": DEAD["updatedAt"]},
        {"accountId": after[0], "updatedAt": DEAD["updatedAt"]},
    ):
        await CardEvent.find_dead(where, 5, session=None)
        await CardEvent.find_dead(where, 5, after, session=None)


CARD_OPERATIONS: dict[str, list[Operation]] = {
    "CardQueue.reserve": [lambda: CardQueue.reserve({ObjectId(): 2}, session=None)],
    "CardQueue.claim": [CardQueue.claim, lambda: CardQueue.claim([ObjectId()])],
    "CardQueue.step": [lambda: then(lambda found: found.step(session=None))],
    "CardQueue.release": [lambda: then(lambda found: found.release(NOW))],
    "CardQueue.remove": [lambda: then(lambda found: found.remove(session=None))],
    "CardEvent.find_fan_out": [CardEvent.find_fan_out],
    "CardEvent.fan_out_to": [fan_out_and_put_back],
    "CardEvent.put_back": [fan_out_and_put_back],
    "CardEvent.put_all_back": [lambda: CardEvent.put_all_back({ObjectId(): 2}, session=None)],
    "CardEvent.find_dead": [find_dead],
    "CardEvent.count_dead": [lambda: CardEvent.count_dead(DEAD), lambda: CardEvent.count_dead({})],
    "CardEvent.backlog": [lambda: CardEvent.backlog("waiting")],
    "CardEvent.settle": [
        lambda: CardEvent.settle(ObjectId(), "dead", "timeout", NOW, session=None)
    ],
}
"""By the class that defines each, with each way in which it is called."""


async def then(work: Callable[[CardQueue], Awaitable[Any]]) -> None:
    await work(await queue())
