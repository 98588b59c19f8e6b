"""The ledger of deletions: which root went when, and how much with it; never anything about a person."""

from datetime import datetime
from typing import Annotated

from beanie import PydanticObjectId
from pydantic import Field

from models.base import Stored, Timestamp


class Deletion(Stored):
    """One deletion; `_id` is the id of the root that was deleted, which is never used again.

    `deleted` and `nulled` count documents per collection. `final` is set once a sweep after the fence removed nothing;
    `next_sweep_at` is when the sweep comes by again, until 30 days have passed.
    """

    id: PydanticObjectId = Field(alias="_id")
    root: Annotated[str, Field(description="Collection of the root.")]
    by: str
    at: Timestamp
    deleted: dict[str, int] = Field(default_factory=dict)
    nulled: dict[str, int] = Field(default_factory=dict)
    swept: bool = False
    final: bool = False
    next_sweep_at: Timestamp | None = None

    class Settings:
        name = "deletions"

    @classmethod
    async def find_due(cls, moment: datetime, limit: int) -> list["Deletion"]:
        """Deletions whose next sweep is due, longest due first."""
        cursor = cls.raw().find({"nextSweepAt": {"$lte": moment}}).sort("nextSweepAt", 1).limit(limit)
        return [cls.from_stored(row) async for row in cursor]
