"""One-time codes, to a phone or an email address: a keyed hash of each, for a few minutes
(required: `phoneOtps`)."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Self

from beanie import PydanticObjectId
from pydantic import Field
from pymongo import ReturnDocument

from models.base import Session, Stored, Timestamp, now
from models.budget import Budget

Purpose = Literal["sign_in", "link", "change_email"]
# longer than the hour of a shared code and the longest life of a challenge
_USED: Final = timedelta(hours=3)


class PhoneOtp(Stored):
    """A challenge: what was sent where, and how often it was tried. It is one requester's: others
    do not know its id.

    Attributes:
        id: 128 random bits.
        phone_number: in E.164; this or `email` (canonical) is there.
        shared: name of the code where challenges of one recipient share it; None for a code of its
            own.
        tries_of: the budget that its tries were put aside from.
        asked: the budget that keeps its requester from another code for a while.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    purpose: Purpose
    phone_number: str | None = None
    email: str | None = None
    user_id: PydanticObjectId | None = None
    code_hash: Annotated[str, Field(repr=False)]
    shared: str | None = None
    tries_of: str | None = None
    asked: str | None = None
    attempts: int = 0
    sent_at: Timestamp = Field(default_factory=now)
    expires_at: Timestamp

    class Settings:
        name = "phoneotps"

    @property
    def recipient(self) -> str:
        """Where the code was sent to."""
        return self.phone_number or self.email or ""

    @classmethod
    async def count_attempt(cls, challenge_id: str, most: int) -> Self | None:
        """Count a try, before anything is compared, in one atomic operation.

        Returns:
            The challenge, or None where there is none, it has expired, or its tries are used up.
        """
        row = await cls.raw().find_one_and_update(
            {"_id": challenge_id, "expiresAt": {"$gt": now()}, "attempts": {"$lt": most}},
            {"$inc": {"attempts": 1}},
            return_document=ReturnDocument.AFTER,
        )
        return None if row is None else cls.from_stored(row)

    async def consume(self, *, session: Session = None) -> bool:
        """Use the challenge up, in the transaction of what it is for; False where somebody else
        has.

        A code that challenges share is used up for all of them.
        """
        row = await self.raw().find_one_and_delete(
            {"_id": self.id, "codeHash": self.code_hash}, session=session
        )
        if row is None:
            return False
        self.attempts = row["attempts"]
        if self.shared is None:
            return True
        if await self.was_used(self.shared, session=session):
            return False
        used = Budget(id=_used(self.shared), spent=1, expires_at=now() + _USED)
        await used.add(session)
        return True

    @classmethod
    async def was_used(cls, shared: str, *, session: Session = None) -> bool:
        """Whether a code that challenges share was used."""
        return await Budget.is_there(_used(shared), session=session)

    async def remove(self) -> None:
        """Take the challenge back: its code was not sent."""
        await self.raw().delete_one({"_id": self.id})

    @classmethod
    async def remove_expired(cls, moment: datetime) -> int:
        """Remove what TTL would (required: `cleanupExpiredOtps`)."""
        return (await cls.raw().delete_many({"expiresAt": {"$lte": moment}})).deleted_count


def _used(shared: str) -> str:
    return f"used:{shared}"
