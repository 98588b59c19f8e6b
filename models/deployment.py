"""What is told apart from the same database before a restore: its epoch."""

import secrets
from typing import Final

from pydantic import Field
from pymongo import ReturnDocument

from models.base import Raw, Stored, now

_ONLY: Final = "deployment"


class Deployment(Stored):
    """The one document of a database that names its epoch: another one after a restore, and every
    ETag is new."""

    id: str = Field(default=_ONLY, alias="_id")  # type: ignore[assignment]
    epoch_name: str

    class Settings:
        name = "deployments"

    @classmethod
    async def epoch(cls) -> str:
        """The epoch of this database; the first who asks makes it."""
        row: Raw | None = await cls.raw().find_one({"_id": _ONLY})
        if row is None:
            moment = now()
            first = {
                "epochName": secrets.token_hex(8),
                "version": 1,
                "createdAt": moment,
                "updatedAt": moment,
            }
            row = await cls.raw().find_one_and_update(
                {"_id": _ONLY},
                {"$setOnInsert": first},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return str((row or {})["epochName"])
