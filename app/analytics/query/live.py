"""The last minutes: their figures, and the events themselves as they come in."""

from collections import defaultdict
from datetime import UTC, timedelta
from typing import Any, Final

from bson import ObjectId

from app.analytics.query.periods import Period
from app.analytics.query.queries import Rows
from app.analytics.query.reader import Filter, opened_view
from app.analytics.rollup.people import persons_of
from app.analytics.rollup.slots import milliseconds
from models.analytics import Analytics
from models.base import Raw, now
from models.person import person_key

_COLUMNS: Final = ("time", "events", "errors", "users")
_MINUTE: Final = timedelta(minutes=1)
_SHOWN: Final = (
    "_id",
    "appId",
    "eventName",
    "eventCategory",
    "timestamp",
    "receivedAt",
    "userId",
    "externalId",
)


async def live_rows(which: Filter, minutes: int) -> Rows:
    """Events, errors and people of each of the last minutes, the present one last."""
    async with opened_view() as view:
        end = now().replace(second=0, microsecond=0) + _MINUTE
        period = Period.of(end - minutes * _MINUTE, end, "minute", UTC)
        events, errors = [0] * minutes, [0] * minutes
        people: dict[int, set[int | str]] = defaultdict(set)
        raw = await view.all_rows(period, which, "?minutes")
        persons = await persons_of(raw, view.session)
        for row in raw:
            number = period.bucket_at(milliseconds(row["timestamp"]))
            if number is None:
                continue
            events[number] += 1
            errors[number] += row["eventCategory"] == "error"
            if (key := person_key(row)) is not None:
                people[number].add(persons[key])
        rows: list[Raw] = [
            {
                "time": bucket.time,
                "events": events[number],
                "errors": errors[number],
                "users": len(people[number]),
            }
            for number, bucket in enumerate(period.buckets)
        ]
        return Rows(rows, _COLUMNS, view.exact)


async def latest_events(
    which: Filter, limit: int, after: ObjectId | None = None
) -> list[dict[str, Any]]:
    """The events that came in last, the newest first; only those after one that was seen, where
    there is one."""
    since = now() - timedelta(minutes=10)
    where: Raw = {**which.raw, "receivedAt": {"$gte": since}}
    if after is not None:
        where["receivedAt"] = {"$gte": max(since, after.generation_time)}
    fields = dict.fromkeys(_SHOWN, 1)
    cursor = (
        Analytics.raw()
        .find(where, fields, hint=[("receivedAt", 1), ("appId", 1)])
        .sort("receivedAt", -1)
    )
    return await cursor.limit(limit).to_list()
