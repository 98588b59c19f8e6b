"""Budgets: how often something was done in a span of time, counted for all processes together."""

from datetime import datetime
from typing import Any

from pydantic import Field
from pymongo import ReturnDocument

from models.base import Session, Stored, Timestamp


class Budget(Stored):
    """A counter. `_id` names what is counted, for whom (a keyed hash), and in which span."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    spent: int = 0
    expires_at: Timestamp

    class Settings:
        name = "budgets"

    @classmethod
    async def spend(cls, name: str, expires_at: datetime, *, session: Session = None) -> int:
        """Count one more, in one atomic operation; how many there are now."""
        row: Any = await cls.raw().find_one_and_update(
            {"_id": name},
            {"$inc": {"spent": 1}, "$setOnInsert": {"expiresAt": expires_at}},
            upsert=True,
            session=session,
            return_document=ReturnDocument.AFTER,
        )
        return int(row["spent"])
