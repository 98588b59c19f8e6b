"""The ledger of deletions: which document went when, and how much with it; never anything about a
person."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import UpdateOne

from models import aside
from models.base import Session, Stored, Timestamp, now
from models.ledger_note import LedgerNote, of_deletions
from models.unreadable import Unreadable

_ANEW: Final = ("of", "into", "chosen", "stage", "final", "nextSweepAt", "updatedAt")


Side = Literal["target", "source"]
"""Of a merge: who stays, and who is merged into them."""


class Stage(StrEnum):
    """How far the sweep of a deletion has come: what goes with it, then what only refers to it,
    then done."""

    CASCADE = "cascade"
    RELEASE = "release"
    DONE = "done"


class Deletion(Stored):
    """One deleted document; `_id` is its id, which is never used again.

    Those that others hang off have an entry each, so that they are swept again later: `of` is the
    root of the deletion that took them, absent for the root itself, whose entry has the counts.
    `final` is set once a sweep after the fence found nothing; `next_sweep_at` is when the sweep
    comes by again, until 30 days have passed. Of a user who was merged, `into` is who they are now;
    what hangs off them is moved there instead.
    """

    id: PydanticObjectId = Field(alias="_id")
    root: Annotated[str, Field(description="Collection of the deleted document.")]
    of: PydanticObjectId | None = None
    by: str
    app_id: Annotated[
        str | None, Field(description="The app whose data of a person alone it took.")
    ] = None
    at: Timestamp
    deleted: Annotated[
        dict[str, int], Field(description="Documents that went, per collection.")
    ] = Field(default_factory=dict)
    nulled: Annotated[
        dict[str, int], Field(description="Documents that lost a reference, per collection.")
    ] = Field(default_factory=dict)
    into: Annotated[
        PydanticObjectId | None, Field(description="The user whom this one was merged into.")
    ] = None
    chosen: Annotated[
        dict[str, Side] | None, Field(description="Whose is kept where both have something.")
    ] = None
    moved: Annotated[
        dict[str, int] | None,
        Field(description="Of a merge: documents that became the other's, per collection."),
    ] = None
    stage: Stage = Stage.CASCADE
    final: bool = False
    next_sweep_at: Timestamp | None = None

    class Settings:
        name = "deletions"

    @property
    def swept(self) -> bool:
        """Whether nothing is left to be done but the later sweeps."""
        return self.stage == Stage.DONE

    @property
    def credited(self) -> ObjectId:
        """The entry whose counts a find of this one belongs to."""
        return self.of or self.id

    def of_child(self, child_id: ObjectId, collection: str) -> "Deletion":
        """The entry of a document that goes with this one and that others hang off in turn."""
        return Deletion(
            id=PydanticObjectId(child_id),
            root=collection,
            of=PydanticObjectId(self.credited),
            by=self.by,
            at=self.at,
            next_sweep_at=self.next_sweep_at,
        )

    @classmethod
    async def enter(cls, entries: list["Deletion"], *, session: Session) -> None:
        """Write entries. One that is there already, since a restored backup brought its document
        back, is to be swept again. Each is to be noted outside."""
        if not entries:
            return
        await LedgerNote.enter(of_deletions(entry.stored() for entry in entries), session)
        writes = [UpdateOne({"_id": entry.id}, _entered(entry), upsert=True) for entry in entries]
        await cls.raw().bulk_write(writes, ordered=False, session=session)

    @classmethod
    async def keep(cls, entries: list["Deletion"]) -> None:
        """Write entries that the ledger outside has, those left out that are there."""
        rows = [entry.stored() for entry in entries]
        writes = [
            UpdateOne({"_id": row.pop("_id")}, {"$setOnInsert": row}, upsert=True) for row in rows
        ]
        await cls.raw().bulk_write(writes, ordered=False)

    @classmethod
    async def find_due(cls, moment: datetime, limit: int) -> list["Deletion"]:
        """Entries whose next sweep is due, longest due first; those that cannot be read are put
        off."""
        cursor = (
            cls.raw().find({"nextSweepAt": {"$lte": moment}}).sort("nextSweepAt", 1).limit(limit)
        )
        return await aside.documents(cls, await cursor.to_list(), aside.later("nextSweepAt"))

    @classmethod
    async def find_pending(cls, of: ObjectId, stage: Stage, limit: int) -> list["Deletion"]:
        """Entries that came with a root and are at this stage, all of one collection."""
        cursor = cls.raw().find({"of": of, "stage": stage.value}).sort([("root", 1)]).limit(limit)
        found = [cls.from_stored(row) async for row in cursor]
        return [entry for entry in found if entry.root == found[0].root]

    @classmethod
    async def move_on(cls, ids: list[PydanticObjectId], before: Stage, after: Stage) -> None:
        """Note that these entries have come from a stage to the next; one that is elsewhere by now
        stays there."""
        where = {"_id": {"$in": ids}, "stage": before.value}
        await cls.raw().update_many(where, {"$set": {"stage": after.value, "updatedAt": now()}})

    @classmethod
    async def merged_into(cls, user_id: ObjectId, session: Session = None) -> ObjectId | None:
        """Who somebody is now who was merged, mergers of mergers followed; None of anybody else.

        Raises:
            Unreadable: they lead in a circle, or to what is no id: a row was damaged.
        """
        found, seen = None, {user_id}
        while (
            row := await cls.raw().find_one({"_id": user_id}, {"into": 1}, session=session)
        ) and (following := row.get("into")) is not None:
            if not isinstance(following, ObjectId) or following in seen:
                raise Unreadable(cls.collection_name(), user_id)
            seen.add(following)
            found = user_id = following
        return found

    @classmethod
    async def begin_again(cls, entry_id: ObjectId) -> None:
        """Have an entry swept from the start."""
        await cls.raw().update_one(
            {"_id": entry_id}, {"$set": {"stage": Stage.CASCADE.value, "updatedAt": now()}}
        )

    @classmethod
    async def has_unsettled(cls, of: ObjectId, session: Session = None) -> bool:
        """Whether an entry that came with a root is not final."""
        return (
            await cls.raw().find_one({"of": of, "final": False}, {"_id": 1}, session=session)
            is not None
        )


def _entered(entry: Deletion) -> dict[str, Any]:
    row = entry.stored()
    del row["_id"]
    anew = {name: row.pop(name) for name in _ANEW if name in row}
    return {"$set": anew, "$setOnInsert": row}
