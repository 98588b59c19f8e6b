"""Card events: the outbox. What happened to a card or a spending profile, to be told to the account's webhook."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models import aside
from models.base import Session, Stored, Timestamp, now

EventType = Literal[
    "card.created",
    "card.updated",
    "card.orphaned",
    "spending_profile.created",
    "spending_profile.updated",
    "spending_profile.deleted",
]
EventState = Literal["waiting", "delivered", "skipped", "dead"]
KEPT: Final = timedelta(days=30)
NOBODY: Final = PydanticObjectId("0" * 24)
"""Where a fan-out begins: before every card."""


class CardEvent(Stored):
    """An event, written in the transaction of the change that it tells of.

    `subject` is the card or the spending profile, `sequence` its place in the order of that subject's events. The event
    says what changed, not what the document was: that is read when it is delivered, so that nothing of a person is
    kept here and a receiver that was away hears of the latest limits first.
    """

    account_id: PydanticObjectId
    subject: PydanticObjectId
    sequence: int
    type: EventType
    changed: Annotated[list[str], Field(description="Names of the fields that changed.")] = Field(default_factory=list)
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
        """A profile's change that not every card has been told of, and that can be read; None where there is none.

        Args:
            but: events that are left alone.
        """
        async for row in cls.raw().find({"fanOutAfter": {"$gte": NOBODY}}):
            if row["_id"] not in but and (found := aside.readable(cls, [row])[0]):
                return found[0]
        return None

    async def fan_out_to(self, card_id: ObjectId | None, *, session: Session) -> bool:
        """Note how far the cards were told, None for all of them; False where another worker was faster."""
        moved = {"$set": {"fanOutAfter": card_id}} if card_id else {"$unset": {"fanOutAfter": ""}}
        where = {"_id": self.id, "fanOutAfter": self.fan_out_after}
        return (await self.raw().update_one(where, moved, session=session)).matched_count == 1

    @classmethod
    async def tried(cls, event_id: ObjectId, error: str, *, session: Session) -> None:
        """Note an attempt that failed, in the transaction in which its queue is given back."""
        fields = {"lastError": error, "updatedAt": now()}
        await cls.raw().update_one({"_id": event_id}, {"$set": fields, "$inc": {"attempts": 1}}, session=session)

    async def put_back(self, sequence: int, *, session: Session) -> bool:
        """Have a dead event wait again, at this place of its subject's order; False where it is dead no more."""
        fields = {"state": "waiting", "sequence": sequence, "attempts": 0, "updatedAt": now()}
        result = await self.raw().update_one(
            {"_id": self.id, "state": "dead"},
            {"$set": fields, "$unset": {"expiresAt": "", "lastError": ""}, "$inc": {"version": 1}},
            session=session,
        )
        return result.matched_count == 1

    @classmethod
    async def settle(
        cls, event_id: ObjectId, state: EventState, error: str | None, moment: datetime, *, session: Session
    ) -> None:
        """Note that an event is dealt with; it is kept for 30 days from then."""
        fields: dict[str, object] = {"state": state, "updatedAt": moment, "expiresAt": moment + KEPT}
        if error is not None:
            fields["lastError"] = error
        await cls.raw().update_one({"_id": event_id}, {"$set": fields, "$inc": {"attempts": 1}}, session=session)
