"""Delivering again what was given up, once the receiver is mended."""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Annotated, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.errors import BadReference, BadTransition, Invalid, NotFound
from app.relations.guards import check_references
from app.web.idempotency import Claim, make_claim, note_outcome
from models import aside
from models.base import Fields, Raw, Session, Timestamp, now
from models.card import Card
from models.card_event import CardEvent
from models.card_queue import CardQueue
from models.spending_profile import SpendingProfile

BATCH: Final = 200
"""Events that are put back in one transaction."""
_LAST: Final = "spending_profile.deleted"
"""What is told of a subject that is gone."""


class After(Fields):
    """The place of an event, after which to go on."""

    account_id: PydanticObjectId
    subject: PydanticObjectId
    sequence: Annotated[int, Field(ge=0, lt=2**53)]


class Redelivery(Fields):
    """Which of the events that were given up are delivered again: all that match."""

    account_id: Annotated[PydanticObjectId | None, Field(description="Of this account only.")] = (
        None
    )
    start: Annotated[
        Timestamp | None, Field(alias="from", description="Given up then or later.")
    ] = None
    end: Annotated[
        Timestamp | None,
        Field(alias="to", description="Given up before; now, where it is absent or ahead."),
    ] = None
    after: Annotated[After | None, Field(description="As `next` of the answer before has it.")] = (
        None
    )

    def where(self) -> Raw:
        """The filter by stored names; `updatedAt` of an event that was given up is when it was."""
        span = {
            name: moment
            for name, moment in (("$gte", self.start), ("$lt", self.end))
            if moment is not None
        }
        return {
            **({"accountId": self.account_id} if self.account_id else {}),
            **({"updatedAt": span} if span else {}),
        }


class Redelivered(Fields):
    """What became of one batch."""

    redelivered: Annotated[int, Field(description="Events that wait again.")]
    gone: Annotated[
        int, Field(description="Events that stay dead, since what they tell of is gone.")
    ]
    next: Annotated[
        Redelivery | None, Field(description="What to send next; null once all are looked at.")
    ] = None


class RedeliveryPlan(Fields):
    """What a redelivery would take."""

    events: Annotated[
        int, Field(description="That match, those among them whose card or profile is gone.")
    ]
    next: Annotated[
        Redelivery, Field(description="What to send to redeliver these, and none that come later.")
    ]


async def redeliver(event_id: ObjectId) -> CardEvent:
    """Put a dead event at the end of its card's or spending profile's queue, in one transaction.

    What it tells is read when it is delivered, so an event that comes after younger ones tells
    nothing old.

    Returns:
        The event as it waits now.

    Raises:
        NotFound: there is no such event, or what it tells of is gone.
        BadTransition: the event waits, or is dealt with.
    """

    async def work(session: AsyncClientSession) -> CardEvent:
        event = await find_event(event_id, session)
        if event.type != _LAST and not await _there([event.subject], session):
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


async def plan_redelivery(asked: Redelivery) -> RedeliveryPlan:
    """How many events a redelivery would take, and what to send for it.

    Raises:
        Invalid: it ends before it begins.
    """
    bound = _bounded(asked, "?from")
    return RedeliveryPlan(events=await CardEvent.count_dead(bound.where()), next=bound)


async def redeliver_batch(asked: Redelivery, claim: Claim | None) -> Redelivered:
    """Put the next dead events that match back, as `redeliver` does each, in one transaction with
    the claim.

    Those of a card keep their order. Events that are given up again later are not among them:
    `next` is bounded by the time of the first call. Of two that do it at once each takes what the
    other has not taken.

    Raises:
        Invalid: it ends before it begins, or goes on with another account.
    """
    bound = _bounded(asked, "/from")

    async def work(session: AsyncClientSession) -> Redelivered:
        await make_claim(claim, 200, session)
        rows = await CardEvent.find_dead(bound.where(), BATCH, _place(bound.after), session=session)
        events, _ = aside.readable(CardEvent, rows)
        places = await _places(events, session)
        await CardEvent.put_all_back(places, session=session)
        gone = len(events) - len(places)
        done = Redelivered(
            redelivered=len(places), gone=gone, next=_following(bound, events, len(rows))
        )
        await note_outcome(claim, 200, done.model_dump_json(by_alias=True), session)
        return done

    return await transaction(work)


def _bounded(asked: Redelivery, pointer: str) -> Redelivery:
    moment = now()
    end = moment if asked.end is None else min(asked.end, moment)
    if asked.start is not None and asked.start > (asked.end or asked.start):
        raise Invalid.field(pointer, "out_of_range", "from is later than to")
    if asked.after is not None and asked.account_id not in (None, asked.after.account_id):
        raise Invalid.field(
            "/after/accountId", "out_of_range", "it is of another account than accountId"
        )
    return asked.model_copy(update={"end": end})


def _place(after: After | None) -> tuple[ObjectId, ObjectId, int] | None:
    return None if after is None else (after.account_id, after.subject, after.sequence)


def _following(bound: Redelivery, events: Sequence[CardEvent], rows: int) -> Redelivery | None:
    """What to send after a batch of these events; None where it was the last."""
    if rows < BATCH or not events:
        return None
    last = events[-1]
    after = After(account_id=last.account_id, subject=last.subject, sequence=last.sequence)
    return bound.model_copy(update={"after": after})


async def _places(events: Sequence[CardEvent], session: AsyncClientSession) -> dict[ObjectId, int]:
    """The new place of each event that can be told, in its subject's order."""
    there = await _there({event.subject for event in events}, session)
    told = [event for event in events if event.type == _LAST or event.subject in there]
    following = await CardQueue.reserve(
        Counter(ObjectId(event.subject) for event in told), session=session
    )
    places: dict[ObjectId, int] = {}
    for event in told:
        if event.subject in following:
            places[ObjectId(event.id)] = following[event.subject]
            following[event.subject] += 1
        elif event.type == _LAST:
            with suppress(NotFound, BadReference):  # its account is going
                places[ObjectId(event.id)] = (await _reopened(event, session))[1]
    return places


async def _there(subjects: Collection[ObjectId], session: AsyncClientSession) -> set[ObjectId]:
    """Which cards and spending profiles are there. Their deletion writes to the queue, as this
    transaction does."""
    return {
        found
        for document in (Card, SpendingProfile)
        for found in await document.fetch(subjects, session, ["_id"])
    }


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
    await check_references(CardQueue, queue.stored(), session)
    await queue.add(session)
    return event.account_id, place
