"""What the last look at each relation found: orphans, and references across tenants."""

from typing import Annotated, Any, Literal

from bson import ObjectId
from pydantic import Field
from pymongo import ReturnDocument

from models.base import Raw, Stored, Timestamp, now

NAMED = 20


class IntegrityScan(Stored):
    """One scan over the children of one relation; `_id` is the relation's label, such as `cards.userId`.

    Of the rows that the worker goes by, it is the collection's name, such as `cardqueues`.

    `after` is the child up to which it has come, so that a scan that was cut short is gone on with.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    state: Literal["running", "done"] = "running"
    started_at: Timestamp
    finished_at: Timestamp | None = None
    after: Any = None
    scanned: int = 0
    orphans: Annotated[int, Field(description="Children whose parent is not there.")] = 0
    mismatches: Annotated[int, Field(description="Children whose parent is of another tenant.")] = 0
    pending: Annotated[int, Field(description="Children of a deleted parent that a sweep has still to come to.")] = 0
    unreadable: Annotated[int, Field(description="Rows that cannot be read, which the worker steps over.")] = 0
    samples: Annotated[list[Raw], Field(description="The first faults: `kind`, `id`, `parentId`.")] = Field(
        default_factory=list
    )

    class Settings:
        name = "integrityscans"

    @classmethod
    async def begin(cls, label: str, *, restart: bool) -> "IntegrityScan":
        """The scan that is under way, or a new one where the last one has ended or is not to be gone on with."""
        row = await cls.raw().find_one({"_id": label, "state": "running"})
        if row is not None and not restart:
            return cls.from_stored(row)
        fresh = cls(id=label, started_at=now())
        await cls.raw().replace_one({"_id": label}, fresh.stored(), upsert=True)
        return fresh

    @classmethod
    async def advance(cls, label: str, after: ObjectId | str, counts: dict[str, int], faults: list[Raw]) -> None:
        """Note a batch: how far it came, and what it found."""
        update = {
            "$set": {"after": after, "updatedAt": now()},
            "$inc": counts,
            "$push": {"samples": {"$each": faults, "$slice": NAMED}},
        }
        await cls.raw().update_one({"_id": label}, update)

    @classmethod
    async def finish(cls, label: str) -> "IntegrityScan":
        """Note that a scan has come to its end."""
        update = {"$set": {"state": "done", "finishedAt": now(), "updatedAt": now()}}
        row = await cls.raw().find_one_and_update({"_id": label}, update, return_document=ReturnDocument.AFTER)
        return cls.from_stored(row or {})

    @classmethod
    async def find_all_scans(cls) -> list["IntegrityScan"]:
        """The last scan of each relation."""
        return [cls.from_stored(row) async for row in cls.raw().find({"_id": {"$gt": ""}}).sort("_id", 1)]
