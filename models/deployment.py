"""What is told apart from the same database before a restore: its epoch; and that one is under
way."""

import secrets
from typing import ClassVar, Final

from pydantic import Field
from pymongo import ReturnDocument

from models.base import Raw, Stored, now

_ONLY: Final = "deployment"


class Deployment(Stored):
    """The one document of a database that names its epoch: another one after a restore, and every
    ETag is new.

    Beside it is a mark (`MARK`) while a restore is under way.
    """

    MARK: ClassVar[str] = "restore"

    id: str = Field(default=_ONLY, alias="_id")  # type: ignore[assignment]
    epoch_name: str
    epoch_number: int = 1
    ledger_at: int = 0

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

    @classmethod
    async def is_restoring(cls) -> bool:
        """Whether a restore is under way, or was killed."""
        return await cls.raw().find_one({"_id": cls.MARK}, {"_id": 1}) is not None

    @classmethod
    async def mark_restoring(cls, backup: str) -> None:
        """Say that a restore of a backup, by its digest, is under way."""
        told = {"$set": {"backup": backup, "updatedAt": now()}, "$inc": {"version": 1}}
        await cls.raw().update_one({"_id": cls.MARK}, told, upsert=True)

    @classmethod
    async def drop_all_but_mark(cls) -> None:
        """Forget what there was before a restore."""
        await cls.raw().delete_many({"_id": {"$ne": cls.MARK}})

    @classmethod
    async def position(cls) -> tuple[int, int]:
        """The number of the epoch, and of the last note in the ledger of deletions outside."""
        await cls.epoch()
        row: Raw = await cls.raw().find_one({"_id": _ONLY}) or {}
        return int(row.get("epochNumber", 1)), int(row.get("ledgerAt", 0))

    @classmethod
    async def next_number(cls) -> tuple[int, int]:
        """The same, once the number of the next note was taken."""
        await cls.epoch()
        row: Raw | None = await cls.raw().find_one_and_update(
            {"_id": _ONLY},
            {"$inc": {"ledgerAt": 1}},
            return_document=ReturnDocument.AFTER,
        )
        return int((row or {}).get("epochNumber", 1)), int((row or {})["ledgerAt"])

    @classmethod
    async def begin_epoch(cls, least: int = 2, ledger_at: int = 0) -> int:
        """Begin another epoch, and end the restore.

        Args:
            least: the epoch's number is one more than that of the last, or at least this.
            ledger_at: the number of the last note in the ledger outside.
        """
        await cls.epoch()  # where a backup of an empty database has none
        number = {"$max": [{"$add": [{"$ifNull": ["$epochNumber", 1]}, 1]}, least]}
        fields: Raw = {
            "epochName": secrets.token_hex(8),
            "epochNumber": number,
            "ledgerAt": {"$max": ["$ledgerAt", ledger_at]},
            "version": {"$add": ["$version", 1]},
            "updatedAt": now(),
        }
        row = await cls.raw().find_one_and_update(
            {"_id": _ONLY}, [{"$set": fields}], return_document=ReturnDocument.AFTER
        )
        await cls.raw().delete_one({"_id": cls.MARK})
        return int((row or {})["epochNumber"])
