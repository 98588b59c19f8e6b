"""How many events a write key has sent in a day, for its daily quota."""

from datetime import date, timedelta
from typing import Any

from bson import ObjectId
from pydantic import Field
from pymongo import ReturnDocument

from models.base import Stored, Timestamp, now


class KeyUsage(Stored):
    """The events of one key on one day (UTC). `_id` is `<key's id>/<day>`."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    events: int = 0
    expires_at: Timestamp

    class Settings:
        name = "keyusage"

    @classmethod
    async def add_events(cls, key_id: ObjectId, day: date, events: int) -> int:
        """Add events to a key's day; how many it has then."""
        moment = now()
        row: Any = await cls.raw().find_one_and_update(
            {"_id": f"{key_id}/{day}"},
            {
                "$inc": {"events": events, "version": 1},
                "$set": {"updatedAt": moment},
                "$setOnInsert": {"expiresAt": moment + timedelta(days=2), "createdAt": moment},
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(row["events"])
