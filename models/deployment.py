"""What is told apart from the same database before a restore: its epoch; and that one is under
way."""

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic import Field
from pymongo import ReturnDocument

from models.aside import counted
from models.base import Raw, now
from models.checked import MOST, Check, Checked, is_text
from models.unreadable import Unreadable

_ONLY: Final = "deployment"
_COUNTS: Final = ("epochNumber", "ledgerAt")


def _is_name(value: Any) -> bool:
    return is_text(value) and value != ""


def _is_count_if_any(value: Any) -> bool:
    """A number that counts something, as a shell may have written it, too; the first row has
    none."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return False
    return value is None or (0 <= value <= MOST and value == int(value))


class Deployment(Checked):
    """The one document of a database that names its epoch: another one after a restore, and every
    ETag is new.

    Beside it is a mark (`MARK`) while a restore is under way.
    """

    MARK: ClassVar[str] = "restore"
    CHECKS: ClassVar[Mapping[str, Check]] = {
        "epochName": _is_name,
        **dict.fromkeys(_COUNTS, _is_count_if_any),
    }

    id: str = Field(default=_ONLY, alias="_id")  # type: ignore[assignment]
    epoch_name: str
    epoch_number: int = 1
    ledger_at: int = 0

    class Settings:
        name = "deployments"

    @classmethod
    async def epoch(cls) -> str:
        """The epoch of this database; the first who asks makes it.

        Raises:
            Unreadable: the document was damaged; `begin_epoch` makes it good.
        """
        return str((await cls._row())["epochName"])

    @classmethod
    async def _row(cls) -> Raw:
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
        if row is None or not cls.is_sound(row):
            raise Unreadable(cls.collection_name(), _ONLY)
        return row

    @classmethod
    async def is_restoring(cls) -> bool:
        """Whether a restore is under way, or was killed."""
        return await cls.raw().find_one({"_id": cls.MARK}, {"_id": 1}) is not None

    @classmethod
    async def mark_restoring(cls, backup: str) -> None:
        """Say that a restore of a backup, by its digest, is under way."""
        told = {"backup": backup, "updatedAt": now(), "version": 1}
        await cls.raw().replace_one({"_id": cls.MARK}, told, upsert=True)

    @classmethod
    async def drop_all_but_mark(cls) -> None:
        """Forget what there was before a restore."""
        await cls.raw().delete_many({"_id": {"$ne": cls.MARK}})

    @classmethod
    async def position(cls) -> tuple[int, int]:
        """The number of the epoch, and of the last note in the ledger of deletions outside.

        Raises:
            Unreadable: as `epoch`.
        """
        return _position(await cls._row())

    @classmethod
    async def next_number(cls) -> tuple[int, int]:
        """The same, once the number of the next note was taken."""
        await cls._row()
        row: Raw | None = await cls.raw().find_one_and_update(
            {"_id": _ONLY},
            {"$inc": {"ledgerAt": 1}},
            return_document=ReturnDocument.AFTER,
        )
        return _position(row or {})

    @classmethod
    async def begin_epoch(cls, least: int = 2, ledger_at: int = 0) -> int:
        """Begin another epoch, and end the restore; whatever the document was before.

        Args:
            least: the epoch's number is one more than that of the last, or at least this.
            ledger_at: the number of the last note in the ledger outside.
        """
        moment = now()
        fields: Raw = {
            "epochName": secrets.token_hex(8),
            "epochNumber": {"$max": [{"$add": [_count_or("epochNumber", 1), 1]}, least]},
            "ledgerAt": {"$max": [_count_or("ledgerAt", 0), ledger_at]},
            "version": counted("version"),
            "createdAt": {"$ifNull": ["$createdAt", moment]},
            "updatedAt": moment,
        }
        row = await cls.raw().find_one_and_update(
            {"_id": _ONLY},
            [{"$set": fields}],
            upsert=True,  # a backup of an empty database has none
            return_document=ReturnDocument.AFTER,
        )
        await cls.raw().delete_one({"_id": cls.MARK})
        return int((row or {})["epochNumber"])


def _position(row: Raw) -> tuple[int, int]:
    return int(row.get("epochNumber") or 1), int(row.get("ledgerAt") or 0)


def _count_or(field: str, otherwise: int) -> Raw:
    """The number in a stored field; another where there is none that counts anything."""
    stored = f"${field}"
    counts = [{"$isNumber": stored}, {"$gte": [stored, 0]}, {"$lt": [stored, MOST]}]
    return {"$cond": [{"$and": counts}, {"$toLong": {"$floor": stored}}, otherwise]}
