"""Analytics: events with a category, counted for dashboards."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import AfterValidator, Field
from pymongo.errors import BulkWriteError, PyMongoError

from models.activity import SessionId
from models.app import AppId
from models.base import Fields, Happened, Raw, Session, Timestamp, now
from models.nobody import somebody, unless_unset
from models.owned import OwnedByUser
from models.values import MAX_EVENT_BYTES, EventObject, SmallObject, escape_refs, has_refs

EventCategory = Literal["engagement", "conversion", "error", "custom"]
LONGEST_NAME: Final = 256
EventName = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
PersonId = Annotated[str, Field(min_length=1, max_length=256)]

_DUPLICATE_KEY = 11000


class DuplicateMessages(Exception):
    """A `messageId` of an app is stored already; nothing of the transaction is."""


class AnalyticsContent(Fields):
    """What is told of an event."""

    app_id: AppId
    event_name: EventName
    event_category: EventCategory
    event_data: SmallObject = Field(default_factory=dict)
    user_id: Annotated[
        Annotated[
            PersonId,
            Field(
                description=(
                    "A user's id; any other text is kept as `externalId`, an id of the client's"
                    " own."
                )
            ),
        ]
        | None,
        AfterValidator(somebody),
    ] = None
    anonymous_id: Annotated[PersonId | None, AfterValidator(somebody)] = None
    session_id: Annotated[SessionId | None, AfterValidator(unless_unset)] = None
    timestamp: Annotated[
        Happened | None,
        Field(description="When it happened: any time up to a day ahead; now if absent."),
    ] = None
    message_id: Annotated[
        Annotated[
            PersonId,
            Field(
                description="The client's id of this event: a repeat within one app is stored once."
            ),
        ]
        | None,
        AfterValidator(unless_unset),
    ] = None


class SegmentContent(AnalyticsContent):
    """An event within Segment's limits: 32 KB of it, a name of any length."""

    event_name: Annotated[str, Field(min_length=1, max_length=MAX_EVENT_BYTES)]
    event_data: EventObject = Field(default_factory=dict)


class Analytics(OwnedByUser):
    """One event. `timestamp` is when it happened, `receivedAt` when it came in."""

    app_id: AppId
    event_name: EventName
    long_event_name: Annotated[
        str | None,
        Field(description="The whole name, where `eventName` is its first 256 characters."),
    ] = None
    event_category: EventCategory
    event_data: EventObject = Field(default_factory=dict)
    user_id: PydanticObjectId | None = None  # type: ignore[assignment]  # people are not always known
    external_id: PersonId | None = None
    anonymous_id: PersonId | None = None
    session_id: SessionId | None = None
    timestamp: Timestamp = Field(default_factory=now)
    received_at: Timestamp = Field(default_factory=now)
    original_timestamp: Annotated[
        Timestamp | None, Field(description="The client's own time, where its clock was corrected.")
    ] = None
    message_id: PersonId | None = None
    given: Annotated[
        list[Literal["userId", "externalId"]] | None,
        Field(description="Which of its ids it has by a join, not as it came."),
    ] = None

    class Settings:
        name = "analytics"

    @classmethod
    def row(
        cls,
        content: AnalyticsContent,
        user_id: ObjectId | None,
        received_at: datetime,
        row_id: ObjectId | None = None,
    ) -> Raw:
        """The stored form of an event, made without a document in between: ingest is a hot path.

        Args:
            content: the checked event; its `user_id` is stored as `externalId` where `user_id` is
                None. Of a long name `eventName` is the beginning, which figures go by, and
                `longEventName` is the whole.
            user_id: the user whom the event is of.
            received_at: when the request came in; the event's time where it tells none.
            row_id: a new one if absent.
        """
        data = content.event_data
        row: Raw = {
            "_id": row_id or ObjectId(),
            "appId": content.app_id,
            "eventName": content.event_name[:LONGEST_NAME],
            "eventCategory": content.event_category,
            "eventData": escape_refs(data) if data and has_refs(data) else data,
            "timestamp": content.timestamp or received_at,
            "receivedAt": received_at,
            "createdAt": received_at,
            "updatedAt": received_at,
            "version": 1,
        }
        if len(content.event_name) > LONGEST_NAME:
            row["longEventName"] = content.event_name
        if user_id is not None:
            row["userId"] = user_id
        elif content.user_id is not None:
            row["externalId"] = content.user_id
        if content.anonymous_id is not None:
            row["anonymousId"] = content.anonymous_id
        if content.session_id is not None:
            row["sessionId"] = content.session_id
        if content.message_id is not None:
            row["messageId"] = content.message_id
        return row

    @classmethod
    async def create_analytics(
        cls, content: AnalyticsContent, user_id: ObjectId | None = None, *, session: Session = None
    ) -> Self:
        """Store one event (required: `createAnalytics`). The caller holds a lease on the user, if
        there is one.

        Raises:
            pymongo.errors.DuplicateKeyError: the app has an event with this `messageId`.
        """
        row = cls.row(content, user_id, now())
        await cls.raw().insert_one(row, session=session)
        return cls.from_stored(row)

    @classmethod
    async def insert_each(cls, rows: Sequence[Raw]) -> list[Exception | None]:
        """Store rows that `row` made, each for itself.

        Returns:
            Of each row why it was not stored, None where it was: `DuplicateMessages` where its
            `messageId` is stored already, one error of all where it is not known of any.
        """
        outcomes: list[Exception | None] = [None] * len(rows)
        try:
            if rows:
                await cls.raw().insert_many(rows, ordered=False)
        except BulkWriteError as error:
            details = error.details or {}
            if details.get("writeConcernErrors"):
                return [error] * len(rows)
            for failure in details.get("writeErrors", []):
                known = failure["code"] == _DUPLICATE_KEY
                outcomes[failure["index"]] = DuplicateMessages() if known else error
        except PyMongoError as error:
            return [error] * len(rows)
        return outcomes

    @classmethod
    async def insert_rows(cls, rows: Sequence[Raw], *, session: Session = None) -> None:
        """Store rows that `row` made, in a transaction or else not as one.

        Raises:
            DuplicateMessages: a `messageId` is stored already.
            pymongo.errors.BulkWriteError: a write failed for any other reason.
        """
        try:
            await cls.raw().insert_many(rows, session=session)
        except BulkWriteError as error:
            failures = (error.details or {}).get("writeErrors", [])
            if any(failure["code"] != _DUPLICATE_KEY for failure in failures):
                raise
            raise DuplicateMessages from None

    @classmethod
    async def stored_ids(cls, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Those of these rows that are stored."""
        found = cls.raw().find({"_id": {"$in": list(ids)}}, {"_id": 1})
        return {row["_id"] async for row in found}

    @classmethod
    async def without_stored(cls, rows: Sequence[Raw], *, session: Session = None) -> list[Raw]:
        """The rows but those whose `messageId` their app has already."""
        wanted: dict[str, list[str]] = {}
        for row in rows:
            if "messageId" in row:
                wanted.setdefault(row["appId"], []).append(row["messageId"])
        stored = set()
        for app_id, messages in wanted.items():
            query = {"appId": app_id, "messageId": {"$in": messages}}
            async for found in cls.raw().find(query, {"_id": 0, "messageId": 1}, session=session):
                stored.add((app_id, found["messageId"]))
        return [row for row in rows if (row["appId"], row.get("messageId")) not in stored]

    @classmethod
    async def page_of_user(
        cls,
        user_id: ObjectId,
        where: Mapping[str, str],
        start: datetime | None,
        end: datetime | None,
        limit: int,
        passed: tuple[datetime, int] | None = None,
    ) -> list[Raw]:
        """A user's stored events, the newest first (required: `findByUserId`).

        In the order of the index alone, so that ingest need keep none for this list: of events of
        one time those that were seen already are told by how many they are.

        Args:
            user_id: whose.
            where: further equality conditions on stored names.
            start: inclusive.
            end: exclusive.
            limit: how many at most.
            passed: the time of the last one seen, and how many of that time were.
        """
        span: Raw = {} if start is None else {"$gte": start}
        if end is not None:
            span["$lt"] = end
        if passed is not None:
            span["$lte"] = passed[0]
        query: Raw = {**where, "userId": user_id, **({"timestamp": span} if span else {})}
        found = cls.raw().find(query, hint=[("userId", 1), ("timestamp", -1)])
        found = found.sort("timestamp", -1)  # of one time in the index's order, on each page
        return await found.skip(passed[1] if passed else 0).limit(limit).to_list()

    @classmethod
    async def first_received(cls, since: datetime, session: Session = None) -> datetime | None:
        """When the first event came in of those that came in at a moment or after it; None where
        none did."""
        where = {"receivedAt": {"$gte": since}}
        fields = {"_id": 0, "receivedAt": 1}
        row = await cls.raw().find_one(where, fields, sort=[("receivedAt", 1)], session=session)
        return None if row is None else row["receivedAt"]

    @classmethod
    async def get_event_counts(
        cls, start: datetime, end: datetime, user_id: ObjectId | None = None, **equal: str | None
    ) -> list[Raw]:
        """Rows `{"eventName", "count"}` of a time span, most frequent first (required:
        `getEventCounts`).

        Args:
            start: inclusive.
            end: exclusive.
            user_id: count this user's events only.
            equal: further equality conditions by stored name, those that are None left out.
        """
        return await cls._counts("eventName", start, end, user_id, equal)

    @classmethod
    async def get_category_counts(
        cls, start: datetime, end: datetime, user_id: ObjectId | None = None, **equal: str | None
    ) -> list[Raw]:
        """Rows `{"eventCategory", "count"}` of a time span, most frequent first (required:
        `getCategoryCounts`)."""
        return await cls._counts("eventCategory", start, end, user_id, equal)

    @classmethod
    async def _counts(
        cls,
        field: str,
        start: datetime,
        end: datetime,
        user_id: ObjectId | None,
        equal: dict[str, str | None],
    ) -> list[Raw]:
        where: Raw = {name: value for name, value in equal.items() if value is not None}
        if user_id is not None:
            where["userId"] = user_id
        pipeline: list[dict[str, Any]] = [
            {"$match": {**where, "timestamp": {"$gte": start, "$lt": end}}},
            {"$group": {"_id": f"${field}", "count": {"$sum": 1}}},
            {"$sort": {"count": -1, "_id": 1}},
            {"$project": {"_id": 0, field: "$_id", "count": 1}},
        ]
        cursor = await cls.raw().aggregate(pipeline)
        return [{field: row[field], "count": row["count"]} async for row in cursor]
