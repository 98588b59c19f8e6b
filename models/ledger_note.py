"""What is still to be noted outside the database: deletions and revoked keys, ids only.

A note comes in the transaction that deletes, and goes once the ledger outside has it
(`app.ledger`).
"""

from collections.abc import Collection, Iterable
from typing import Any, Final, Literal

from beanie import PydanticObjectId
from bson import ObjectId

from models.base import Raw, Session, Stored, Timestamp, now

FOR_GOOD: Final = 2**53
"""Beyond the version of any key: a key that is revoked, not rotated."""


class LedgerNote(Stored):
    """A deletion, a merge, a revoked or rotated key, or an app's data of a person that was deleted.

    Attributes:
        kind: which of these.
        subject: the id of the document, the key or the person.
        root: the collection of a deleted document.
        of: the deletion whose receipt waits for the note.
        app: whose data of the person was deleted.
        until: the cluster time of then; what is younger stays.
        into: whom a person was merged into, and `chosen` with what choice.
        below: the key is void where its version is less than this.
    """

    kind: Literal["deleted", "revoked", "cleared", "merged"]
    subject: PydanticObjectId
    root: str | None = None
    of: PydanticObjectId | None = None
    app: str | None = None
    until: list[int] | None = None
    into: PydanticObjectId | None = None
    chosen: dict[str, str] | None = None
    below: int | None = None
    at: Timestamp

    class Settings:
        name = "ledgernotes"

    @classmethod
    async def enter(cls, notes: Iterable[Raw], session: Session) -> None:
        """Have these noted, in the transaction of what they are about."""
        moment = now()
        common = {"at": moment, "createdAt": moment, "updatedAt": moment, "version": 1}
        if rows := [{**common, **note} for note in notes]:
            await cls.raw().insert_many(rows, session=session)

    @classmethod
    async def revoke(cls, key_id: ObjectId, session: Session, below: int = FOR_GOOD) -> None:
        """Have a key noted that was revoked, or rotated to a version."""
        await cls.enter([{"kind": "revoked", "subject": key_id, "below": below}], session)

    @classmethod
    async def oldest(cls, limit: int) -> list[Raw]:
        """The notes that have waited longest."""
        return await cls.raw().find({}).sort("_id", 1).limit(limit).to_list()

    @classmethod
    async def waited_for(cls, deletions: Collection[ObjectId]) -> set[ObjectId]:
        """Those of these deletions of which something is still to be noted."""
        found: list[Any] = await cls.raw().distinct("of", {"of": {"$in": list(deletions)}})
        return set(found)

    @classmethod
    async def drop(cls, ids: Collection[ObjectId]) -> None:
        """Forget notes that the ledger has."""
        await cls.raw().delete_many({"_id": {"$in": list(ids)}})


def of_deletions(rows: Iterable[Raw]) -> list[Raw]:
    """The notes of stored entries of the ledger of deletions."""
    return [
        {
            "kind": "merged" if row.get("into") else "deleted",
            "subject": row["_id"],
            "root": row["root"],
            "of": row.get("of") or row["_id"],
            **{name: row[name] for name in ("into", "chosen") if name in row},
        }
        for row in rows
    ]
