"""What is still to be noted outside the database: what was deleted, revoked and taken away, ids
only.

A note comes in the transaction that deletes, and goes once the ledger outside has it
(`app.ledger`).
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Final, Literal

from beanie import PydanticObjectId
from bson import ObjectId

from models.base import Raw, Session, Stored, Timestamp, now

FOR_GOOD: Final = 2**53
"""Beyond the version of any key: a key that is revoked, not rotated."""


What = Literal[
    "access",
    "account",
    "card",
    "endpoint",
    "grants",
    "identity",
    "inactive",
    "invitation",
    "member",
    "repository",
    "secret",
    "user",
]
"""What is taken away; `app.recovery.takings` says of each how it is taken again."""


class LedgerNote(Stored):
    """A deletion, a merge, a revoked or rotated key, an app's data of a person that was deleted, or
    what was taken away.

    Attributes:
        kind: which of these.
        subject: the id of the document, the key or the person.
        root: the collection of a deleted document.
        of: the deletion whose receipt waits for the note.
        app: whose data of the person was deleted.
        until: the cluster time of then; what is younger stays.
        into: whom a person was merged into, and `chosen` with what choice.
        below: the key is void, or what was taken is to be taken again, where the version of the
            document is less than this.
        what: was taken away, from whom or what else (`who`), and what exactly (`detail`: names of
            roles and states, numbers).
    """

    kind: Literal["deleted", "revoked", "cleared", "merged", "taken"]
    subject: PydanticObjectId
    root: str | None = None
    of: PydanticObjectId | None = None
    app: str | None = None
    until: list[int] | None = None
    into: PydanticObjectId | None = None
    chosen: dict[str, str] | None = None
    below: int | None = None
    what: What | None = None
    who: PydanticObjectId | None = None
    detail: dict[str, Any] | None = None
    at: Timestamp

    class Settings:
        name = "ledgernotes"

    @classmethod
    async def enter(cls, notes: Iterable[Raw], session: Session) -> None:
        """Have these noted, in the transaction of what they are about."""
        if rows := noted(notes, now()):
            await cls.raw().insert_many(rows, session=session)

    @classmethod
    async def revoke(cls, key_id: ObjectId, session: Session, below: int = FOR_GOOD) -> None:
        """Have a key noted that was revoked, or rotated to a version."""
        await cls.enter([{"kind": "revoked", "subject": key_id, "below": below}], session)

    @classmethod
    async def take(
        cls,
        what: What,
        document: Stored,
        session: Session,
        *,
        who: ObjectId | None = None,
        **detail: Any,
    ) -> None:
        """Have noted what was taken away, in the transaction that does.

        Args:
            what: was taken.
            document: as it is now, or as it was where it is gone.
            session: of the transaction.
            who: from whom it was taken, or which one.
            detail: what exactly.
        """
        await cls.enter([taken(what, document.id, document.version, who=who, **detail)], session)

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


def noted(notes: Iterable[Raw], moment: datetime) -> list[Raw]:
    """Notes as they are stored."""
    common = {"at": moment, "createdAt": moment, "updatedAt": moment, "version": 1}
    return [{**common, **note} for note in notes]


def taken(
    what: What, subject: Any, version: int, *, who: ObjectId | None = None, **detail: Any
) -> Raw:
    """The note of what was taken away of a document, which has this version since."""
    note: Raw = {"kind": "taken", "what": what, "subject": subject, "below": version}
    return note | ({"who": who} if who else {}) | ({"detail": detail} if detail else {})


def taken_of_user(before: Raw, after: Raw) -> list[Raw]:
    """The notes of what a stored user has no more after a change: grants, the account, the right to
    do anything."""
    subject, version = after["_id"], after["version"]
    notes = []
    if gone := _grants_gone(before, after):
        notes.append(taken("grants", subject, version, **gone))
    if before.get("status") != after.get("status") == "inactive":
        notes.append(taken("inactive", subject, version))
    if (left := before.get("accountId")) and left != after.get("accountId"):
        notes.append(taken("user", subject, version, who=left))
    return notes


def _grants_gone(before: Raw, after: Raw) -> Raw:
    gone: Raw = {
        name: sorted(lost)
        for name in ("roles", "permissions")
        if (lost := {*before.get(name, ())} - {*after.get(name, ())})
    }
    if before.get("role") and before["role"] != after.get("role"):
        gone["role"] = before["role"]
    return gone


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
