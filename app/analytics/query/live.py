"""The last minutes: their figures, and the events themselves as they come in."""

from collections.abc import Mapping
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
        raw = await view.all_rows(period, which, "?minutes")
        persons = await persons_of(raw, view.session)
        rows = _by_minute(period, raw, persons)
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


def _by_minute(period: Period, raw: list[Raw], persons: Mapping[str, int | str]) -> list[Raw]:
    rows: list[Raw] = [{"time": each.time, "events": 0, "errors": 0} for each in period.buckets]
    people: list[set[int | str]] = [set() for _ in rows]
    for row in raw:
        number = period.bucket_at(milliseconds(row["timestamp"]))
        if number is None:
            continue
        rows[number]["events"] += 1
        rows[number]["errors"] += row["eventCategory"] == "error"
        if (key := person_key(row)) is not None:
            people[number].add(persons[key])
    return [{**row, "users": len(found)} for row, found in zip(rows, people, strict=True)]
