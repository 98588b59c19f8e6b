"""Delivering again what was given up, once the receiver is mended."""

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.errors import BadTransition, NotFound
from app.relations.guards import refer
from models.base import Session, now
from models.card import Card
from models.card_event import CardEvent
from models.card_queue import CardQueue
from models.spending_profile import SpendingProfile


async def redeliver(event_id: ObjectId) -> CardEvent:
    """Put a dead event at the end of its card's or spending profile's queue, in one transaction.

    What it tells is read when it is delivered, so an event that comes after younger ones tells nothing old.

    Returns:
        The event as it waits now.

    Raises:
        NotFound: there is no such event, or what it tells of is gone.
        BadTransition: the event waits, or is dealt with.
    """

    async def work(session: AsyncClientSession) -> CardEvent:
        event = await find_event(event_id, session)
        if event.type != "spending_profile.deleted" and not await _is_there(event.subject, session):
            raise NotFound("what the event tells of is gone")
        places = await CardQueue.next_sequences([event.subject], session=session)
        _, sequence = places.get(event.subject) or await _reopened(event, session)
        if not await event.put_back(sequence, session=session):
            raise BadTransition(f"an event that is {event.state} is not delivered again")
        return await find_event(event_id, session)

    return await transaction(work)


async def find_event(event_id: ObjectId, session: Session = None) -> CardEvent:
    """The event with this id.

    Raises:
        NotFound: there is none.
    """
    row = await CardEvent.raw().find_one({"_id": event_id}, session=session)
    if row is None:
        raise NotFound("there is no such event")
    return CardEvent.from_stored(row)


async def _is_there(subject: ObjectId, session: AsyncClientSession) -> bool:
    """Whether a card or spending profile is there. Its deletion writes to the queue, as this transaction does."""
    for document in (Card, SpendingProfile):
        if await document.raw().find_one({"_id": subject}, {"_id": 1}, session=session) is not None:
            return True
    return False


async def _reopened(event: CardEvent, session: AsyncClientSession) -> tuple[ObjectId, int]:
    """The queue that went with its last event, for that event.

    Its fences go on where no worker of the former queue has been.
    """
    place, moment = event.sequence, now()
    queue = CardQueue(
        id=event.subject,
        account_id=event.account_id,
        last=place,
        done=place - 1,
        waiting=1,
        due_at=moment,
        fence=int(moment.timestamp() * 1000),
    )
    await refer(CardQueue, queue.stored(), session)
    await queue.add(session)
    return event.account_id, place
