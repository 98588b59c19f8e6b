"""One-time codes, to a phone or an email address: a keyed hash of each, for a few minutes (seed 004, `phoneOtps`)."""

from datetime import datetime
from typing import Annotated, Literal, Self

from beanie import PydanticObjectId
from pydantic import Field
from pymongo import ReturnDocument

from models.base import Session, Stored, Timestamp, now

Purpose = Literal["sign_in", "link", "change_email"]


class PhoneOtp(Stored):
    """A challenge: what was sent where, and how often it was tried.

    `_id` is the challenge's id, 128 random bits. `subject` is a keyed hash of recipient, purpose and user; it is
    unique, so that one recipient has one challenge per purpose, and tries are counted over all codes of it. One of
    `phone_number` (E.164) and `email` (canonical) is there.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    subject: str
    purpose: Purpose
    phone_number: str | None = None
    email: str | None = None
    user_id: PydanticObjectId | None = None
    code_hash: Annotated[str, Field(repr=False)]
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
        """Use the challenge up, in the transaction of what it is for; False where somebody else has."""
        where = {"_id": self.id, "codeHash": self.code_hash}
        return (await self.raw().delete_one(where, session=session)).deleted_count == 1

    @classmethod
    async def remove_expired(cls, moment: datetime) -> int:
        """Remove what TTL would (seed 004 `cleanupExpiredOtps`)."""
        return (await cls.raw().delete_many({"expiresAt": {"$lte": moment}})).deleted_count
