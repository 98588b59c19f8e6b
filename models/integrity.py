"""What the last look at each relation found: orphans, and references across tenants."""

from contextlib import suppress
from typing import Annotated, Any, Literal

from beanie import PydanticObjectId
from pydantic import Field
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from models.aside import read_all
from models.base import Raw, Stored, Timestamp, now

NAMED = 20


class LostScan(Exception):
    """Another check has taken this scan over: stop, and write no more about it."""


class IntegrityScan(Stored):
    """One scan over the children of one relation; `_id` is the relation's label, such as
    `cards.userId`.

    Of the rows that the worker goes by, it is the collection's name, such as `cardqueues`; of the
    ledger of deletions, looked through for what lives, `deletions.living`; of merges that were
    followed to their ends, `deletions.into`.

    `after` is the child up to which it has come, so that a scan that was cut short is gone on with.
    `claim` is that of
    the check that is at it: each of its writes names it, so that of two checks one goes on, and
        counts nothing twice.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    state: Literal["running", "done"] = "running"
    started_at: Timestamp
    finished_at: Timestamp | None = None
    claim: PydanticObjectId | None = None
    after: Any = None
    scanned: int = 0
    orphans: Annotated[int, Field(description="Children whose parent is not there.")] = 0
    mismatches: Annotated[int, Field(description="Children whose parent is of another tenant.")] = 0
    pending: Annotated[
        int, Field(description="Children of a deleted parent that a sweep has still to come to.")
    ] = 0
    unreadable: Annotated[
        int,
        Field(description="Rows that cannot be read, or followed, which the worker steps over."),
    ] = 0
    living: Annotated[
        int, Field(description="Documents that are there though they were deleted.")
    ] = 0
    samples: Annotated[
        list[Raw], Field(description="The first faults: `kind`, `id`, `parentId`.")
    ] = Field(default_factory=list)

    class Settings:
        name = "integrityscans"

    @classmethod
    async def begin(cls, label: str, *, restart: bool) -> "IntegrityScan":
        """Claim the scan that is under way, or a new one where the last has ended or is not to be
        gone on with.

        Whoever was at it has lost it.
        """
        claim = PydanticObjectId()
        if not restart:
            running, taken = (
                {"_id": label, "state": "running"},
                {"$set": {"claim": claim, "updatedAt": now()}},
            )
            row = await cls.raw().find_one_and_update(
                running, taken, return_document=ReturnDocument.AFTER
            )
            if row is not None:
                return cls.from_stored(row)
        fresh = cls(id=label, started_at=now(), claim=claim)
        row = fresh.stored()
        del row["_id"]
        with suppress(DuplicateKeyError):  # another check was first: the scan is its own
            await cls.raw().replace_one({"_id": label}, row, upsert=True)
        return fresh

    async def advance(self, after: Any, counts: dict[str, int], faults: list[Raw]) -> None:
        """Note a batch: how far it came, and what it found.

        Raises:
            LostScan: another check has taken it over.
        """
        update = {
            "$set": {"after": after, "updatedAt": now()},
            "$inc": counts,
            "$push": {"samples": {"$each": faults, "$slice": NAMED}},
        }
        if (await self.raw().update_one(self._held(), update)).matched_count == 0:
            raise LostScan

    async def finish(self) -> "IntegrityScan":
        """Note that it has come to its end; the scan as it is then.

        Raises:
            LostScan: another check has taken it over.
        """
        update = {"$set": {"state": "done", "finishedAt": now(), "updatedAt": now()}}
        row = await self.raw().find_one_and_update(
            self._held(), update, return_document=ReturnDocument.AFTER
        )
        if row is None:
            raise LostScan
        return self.from_stored(row)

    def _held(self) -> Raw:
        return {"_id": self.id, "claim": self.claim, "state": "running"}

    @classmethod
    async def find_all_scans(cls) -> list["IntegrityScan"]:
        """The last scan of each relation."""
        return read_all(cls, await cls.raw().find({"_id": {"$gt": ""}}).sort("_id", 1).to_list())
