"""The outbox: what happened to a card or a spending profile, written in the transaction in which it
happened."""

from collections.abc import Sequence
from dataclasses import dataclass

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from models.base import now
from models.card_event import NOBODY, CardEvent, EventType
from models.card_queue import CardQueue


@dataclass(frozen=True, slots=True)
class NewCardEvent:
    """What happened to one card or spending profile.

    Attributes:
        subject: its id.
        type: of the event.
        changed: names of the fields that changed, as sent.
        status: the card's status after it.
        affected_cards: how many cards a change of a spending profile affects; they are told one by
            one, by the worker.
    """

    subject: ObjectId
    type: EventType
    changed: tuple[str, ...] = ()
    status: str | None = None
    affected_cards: int | None = None


async def begin(account_id: ObjectId, event: NewCardEvent, session: AsyncClientSession) -> None:
    """Write the first event of something new, and the queue for those to come.

    To be called where the new document's references were checked: that keeps the queue from
    outliving the account.
    """
    queue = CardQueue(
        id=PydanticObjectId(event.subject),
        account_id=PydanticObjectId(account_id),
        due_at=now(),
    )
    await queue.add(session)
    await note([event], session)


async def note(told: Sequence[NewCardEvent], session: AsyncClientSession) -> None:
    """Write events, each the next of its subject. At most one event to a subject.

    A subject whose queue is gone goes with its account: nobody is to be told.
    """
    if not told:
        return
    places = await CardQueue.next_sequences([event.subject for event in told], session=session)
    rows = [
        CardEvent(
            account_id=PydanticObjectId(places[event.subject][0]),
            subject=PydanticObjectId(event.subject),
            sequence=places[event.subject][1],
            type=event.type,
            changed=sorted(event.changed),
            status=event.status,
            affected_cards=event.affected_cards,
            fan_out_after=NOBODY if event.affected_cards else None,
        ).stored()
        for event in told
        if event.subject in places
    ]
    if rows:
        await CardEvent.raw().insert_many(rows, session=session)
