"""Activity: what a user did, kept for 90 days."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from bson import ObjectId
from pydantic import AfterValidator, Field

from models.app import AppId
from models.aside import read_all
from models.base import Fields, Happened, Raw, Session, Timestamp, now
from models.owned import OwnedByUser
from models.values import SmallObject, UnstorableValue

KEPT = timedelta(days=90)
EventType = Annotated[str, Field(min_length=1, max_length=256)]
SessionId = Annotated[str, Field(min_length=1, max_length=256)]


def _still_kept(moment: datetime) -> datetime:
    if moment <= now() - KEPT:
        raise UnstorableValue("", "out_of_range", "activity is kept for 90 days, and this is older")
    return moment


class ActivityContent(Fields):
    """What is told of an activity."""

    app_id: AppId
    event_type: EventType
    event_data: SmallObject = Field(default_factory=dict)
    session_id: SessionId | None = None
    timestamp: Annotated[
        Happened,
        AfterValidator(_still_kept),
        Field(description="Within the last 90 days; now if absent."),
    ] = Field(default_factory=now)


class Activity(ActivityContent, OwnedByUser):
    """One thing that a user did. A TTL index removes it 90 days after `timestamp`; no read shows it
    after that."""

    timestamp: Timestamp = Field(default_factory=now)

    class Settings:
        name = "activities"

    @classmethod
    async def create_activity(
        cls, user_id: ObjectId, content: ActivityContent, *, session: Session = None
    ) -> Self:
        """Store an activity (required: `createActivity`). The caller holds a lease on the user."""
        return await cls(user_id=user_id, **content.model_dump(by_alias=False)).add(session)

    @classmethod
    async def find_by_user_id(
        cls,
        user_id: ObjectId,
        limit: int,
        *,
        where: Mapping[str, Any] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        after: tuple[datetime, ObjectId] | None = None,
    ) -> list[Self]:
        """The user's activities, newest first (required: `findByUserId`).

        Args:
            user_id: whose.
            limit: how many at most.
            where: further equality conditions on stored names.
            start: inclusive; never reaches further back than 90 days.
            end: exclusive.
            after: sort key (`timestamp`, id) of the last one already seen.
        """
        oldest = now() - KEPT
        span: Raw = {"$gte": max(start, oldest) if start else oldest}
        if end is not None:
            span["$lt"] = end
        query: Raw = {"userId": user_id, "timestamp": span, **(where or {})}
        if after is not None:
            span["$lte"] = after[0]
            query["$or"] = [
                {"timestamp": {"$lt": after[0]}},
                {"timestamp": after[0], "_id": {"$lt": after[1]}},
            ]
        cursor = cls.raw().find(query).sort([("timestamp", -1), ("_id", -1)]).limit(limit)
        return read_all(cls, await cursor.to_list())

    @classmethod
    async def get_recent_activity(
        cls, user_id: ObjectId, hours: float, limit: int = 200
    ) -> list[Self]:
        """The user's activities of the last hours, newest first (required: `getRecentActivity`)."""
        return await cls.find_by_user_id(user_id, limit, start=now() - timedelta(hours=hours))
