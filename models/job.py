"""Jobs: background work that one worker at a time has claimed, and that any worker can take
over."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from beanie import PydanticObjectId
from pydantic import Field

from models.base import Raw, Stored, Timestamp

_MOST_COUNTED: Final = 10_000
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 1, 1, tzinfo=UTC)


class Job(Stored):
    """A piece of work. `_id` is the subject's id or the name of a periodic job.

    `fence` grows with each claim: what a worker writes about a job names the fence of its claim, so
        that one whose
    claim ran out changes nothing any more.
    """

    id: PydanticObjectId | str = Field(alias="_id")  # type: ignore[assignment]
    kind: str
    state: Literal["due", "done"] = "due"
    run_at: Timestamp
    every_seconds: Annotated[
        float | None, Field(description="Runs again this long after it ended; None: once.")
    ] = None
    leased_by: str | None = None
    leased_until: Timestamp | None = None
    taken_from: Annotated[
        str | None, Field(description="The worker whose claim ran out before it was done.")
    ] = None
    fence: int = 0
    attempts: int = 0
    progress: dict[str, Any] = Field(default_factory=dict)
    last_run_at: Timestamp | None = None
    last_error: str | None = None

    class Settings:
        name = "jobs"

    @classmethod
    async def unclaimable(cls, limit: int) -> list[Raw]:
        """Rows, as far as `state` and `runAt` go, that nobody can claim: the one is no text, or the
        other no time."""
        odd: list[Raw] = [
            {"state": "due", "runAt": {"$not": {"$gte": _BEGINNING}}},
            {"state": "due", "runAt": {"$gt": _END}},
            {"state": {"$not": {"$gte": ""}}},
        ]  # each by the ends of an index
        rows = cls.raw().find({"$or": odd}, {"state": 1, "runAt": 1}).limit(limit)
        return await rows.to_list()

    @classmethod
    async def overdue(cls, moment: datetime) -> list[Raw]:
        """The jobs that are due at a moment and that no worker has, 10,000 at most: rows `{"_id":
        kind, "count", "oldest"}`."""
        due: Raw = {"state": "due", "runAt": {"$lte": moment}}
        pipeline: list[Raw] = [
            {"$match": {**due, "leasedUntil": {"$not": {"$gt": moment}}}},
            {"$sort": {"runAt": 1}},
            {"$limit": _MOST_COUNTED},
            {"$group": {"_id": "$kind", "count": {"$sum": 1}, "oldest": {"$min": "$runAt"}}},
        ]
        return await (await cls.raw().aggregate(pipeline)).to_list()
