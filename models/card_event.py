"""Card events: the outbox. What happened to a card or a spending profile, to be told to the
account's webhook."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import UpdateOne

from models import aside
from models.base import Raw, Session, Stored, Timestamp, now

EventType = Literal[
    "card.created",
    "card.updated",
    "card.orphaned",
    "spending_profile.created",
    "spending_profile.updated",
    "spending_profile.deleted",
]
EventState = Literal["waiting", "delivered", "skipped", "dead"]
_MOST_COUNTED: Final = 100_000
KEPT: Final = timedelta(days=30)
NOBODY: Final = PydanticObjectId("0" * 24)
"""Where a fan-out begins: before every card."""


class CardEvent(Stored):
    """An event, written in the transaction of the change that it tells of.

    `subject` is the card or the spending profile, `sequence` its place in the order of that
    subject's events. The event says what changed, not what the document was: that is read when it
    is delivered, so that nothing of a person is kept here and a receiver that was away hears of the
    latest limits first.
    """

    account_id: PydanticObjectId
    subject: PydanticObjectId
    sequence: int
    type: EventType
    changed: Annotated[list[str], Field(description="Names of the fields that changed.")] = Field(
        default_factory=list
    )
    status: Annotated[str | None, Field(description="The card's status after it.")] = None
    affected_cards: int | None = None
    fan_out_after: Annotated[
        PydanticObjectId | None,
        Field(description="A profile's change, while its cards are told: those up to this one."),
    ] = None
    state: EventState = "waiting"
    attempts: int = 0
    last_error: str | None = None
    expires_at: Annotated[Timestamp | None, Field(description="Set when it is dealt with.")] = None

    class Settings:
        name = "cardevents"

    @classmethod
    async def next_of(cls, subject: ObjectId, sequence: int) -> "CardEvent | None":
        """The event of a subject with this place in its order."""
        row = await cls.raw().find_one({"subject": subject, "sequence": sequence})
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def find_fan_out(cls, but: Collection[ObjectId] = ()) -> "CardEvent | None":
        """A profile's change that not every card has been told of, and that can be read; None where
        there is none.

        Args:
            but: events that are left alone.
        """
        async for row in cls.raw().find({"fanOutAfter": {"$gte": NOBODY}}):
            if row["_id"] not in but and (found := aside.readable(cls, [row])[0]):
                return found[0]
        return None

    async def fan_out_to(self, card_id: ObjectId | None, *, session: Session) -> bool:
        """Note how far the cards were told, None for all of them; False where another worker was
        faster."""
        moved = {"$set": {"fanOutAfter": card_id}} if card_id else {"$unset": {"fanOutAfter": ""}}
        where = {"_id": self.id, "fanOutAfter": self.fan_out_after}
        return (await self.raw().update_one(where, moved, session=session)).matched_count == 1

    @classmethod
    async def tried(cls, event_id: ObjectId, error: str, *, session: Session) -> None:
        """Note an attempt that failed, in the transaction in which its queue is given back."""
        fields = {"lastError": error, "updatedAt": now()}
        await cls.raw().update_one(
            {"_id": event_id}, {"$set": fields, "$inc": {"attempts": 1}}, session=session
        )

    async def put_back(self, sequence: int, *, session: Session) -> bool:
        """Have a dead event wait again, at this place of its subject's order; False where it is
        dead no more."""
        where, update = {"_id": self.id, "state": "dead"}, _back_at(sequence)
        return (await self.raw().update_one(where, update, session=session)).matched_count == 1

    @classmethod
    async def put_all_back(cls, places: Mapping[ObjectId, int], *, session: Session) -> None:
        """Have dead events wait again that were read in this transaction.

        Args:
            places: id of each -> its place in its subject's order.
            session: of the transaction.
        """
        if places:
            writes = [
                UpdateOne({"_id": each, "state": "dead"}, _back_at(place))
                for each, place in places.items()
            ]
            await cls.raw().bulk_write(writes, ordered=False, session=session)

    @classmethod
    async def find_dead(
        cls,
        where: Raw,
        limit: int,
        after: tuple[ObjectId, ObjectId, int] | None = None,
        *,
        session: Session,
    ) -> list[Raw]:
        """Stored rows of dead events, account by account, subject by subject, those of a subject in
        their order.

        Args:
            where: what else they match, by stored names.
            limit: how many at most.
            after: account, subject and sequence of the event after which to begin.
            session: of a transaction.
        """
        order = {"accountId": 1, "subject": 1, "sequence": 1}
        query = _beyond({**where, "state": "dead"}, after)
        return await cls.raw().find(query, session=session).sort(order).limit(limit).to_list()

    @classmethod
    async def count_dead(cls, where: Raw) -> int:
        """How many dead events match, by stored names."""
        return await cls.raw().count_documents({**where, "state": "dead"})

    @classmethod
    async def backlog(cls, state: EventState) -> tuple[int, datetime | None]:
        """How many events are in this state, 100,000 at most, and when the first of them
        happened."""
        where = {"state": state}
        first = await cls.raw().find_one(where, {"createdAt": 1}, sort=[("_id", 1)])
        happened = None if first is None else first.get("createdAt")
        return await cls.raw().count_documents(where, limit=_MOST_COUNTED), (
            happened if isinstance(happened, datetime) else None
        )

    @classmethod
    async def settle(
        cls,
        event_id: ObjectId,
        state: EventState,
        error: str | None,
        moment: datetime,
        *,
        session: Session,
    ) -> None:
        """Note that an event is dealt with; it is kept for 30 days from then."""
        fields: dict[str, object] = {
            "state": state,
            "updatedAt": moment,
            "expiresAt": moment + KEPT,
        }
        if error is not None:
            fields["lastError"] = error
        await cls.raw().update_one(
            {"_id": event_id}, {"$set": fields, "$inc": {"attempts": 1}}, session=session
        )


def _back_at(sequence: int) -> Raw:
    """The update that has a dead event wait again, at this place of its subject's order."""
    fields = {"state": "waiting", "sequence": sequence, "attempts": 0, "updatedAt": now()}
    return {"$set": fields, "$unset": {"expiresAt": "", "lastError": ""}, "$inc": {"version": 1}}


def _beyond(where: Raw, after: tuple[ObjectId, ObjectId, int] | None) -> Raw:
    """The filter of those that come after an event in the order of accounts, subjects and
    sequences."""
    if after is None:
        return {"accountId": {"$gte": NOBODY}, **where}
    account, subject, sequence = after
    further: list[Raw] = [
        {"accountId": account, "subject": subject, "sequence": {"$gt": sequence}},
        {"accountId": account, "subject": {"$gt": subject}},
    ]
    if "accountId" not in where:
        further.append({"accountId": {"$gt": account}})
    return {"$or": [{**where, **each} for each in further]}
