"""The truth: figures from every raw event, by plain Python, against what the queries say."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.analytics.periods import Period
from app.analytics.queries import active_users, count_events, top_values
from app.analytics.reader import Filter
from app.analytics.visits import sessions
from models.analytics import Analytics
from models.base import Raw
from models.person import Person, PersonMerge, person_key

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
CLOCK_CHANGES = [datetime(2026, *day, tzinfo=UTC) for day in ((3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1))]
"""Days on which clocks change: America, Europe, Lord Howe (by half an hour), in both directions."""


async def all_events() -> list[Raw]:
    return [row async for row in Analytics.raw().find({})]


async def differences(around: datetime, zones: Any = ZONES) -> list[str]:
    """Where a query's rows are not those of the raw events, in every timezone by hour and day."""
    start, end = around - timedelta(days=3), around + timedelta(days=4)
    rows = await all_events()
    numbers = {row["_id"]: row["number"] async for row in Person.raw().find({})}
    merges = await PersonMerge.pending()
    found = []
    for zone in zones:
        for interval in ("hour", "day"):
            period = Period.of(start, end, interval, ZoneInfo(zone))
            for app in (None, "notes"):
                chosen = [row for row in rows if app in (None, row["appId"]) and start <= row["timestamp"] < end]
                which = Filter(app_id=app)
                expected = _counts(chosen, zone, interval)
                got = _nonzero(await count_events(period, which, "eventName"), "eventName", "count")
                if got != expected:
                    found.append(f"counts {zone} {interval} {app}: {got} != {expected}")
                expected = _people(chosen, zone, interval, numbers, merges)
                got = {row["time"]: row["activeUsers"] for row in (await active_users(period, which)).rows}
                if {time: count for time, count in got.items() if count} != expected:
                    found.append(f"people {zone} {interval} {app}: {got} != {expected}")
    whole = Period.of(start, end, None, ZoneInfo("UTC"))
    found += await _visits(rows, whole)
    found += await _plans(rows, whole)
    return found


def bucket(moment: datetime, zone: str, interval: str) -> datetime:
    """The start of the bucket that a moment is in, by walking back until the local clock says that it begins."""
    at = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
    tz = ZoneInfo(zone)
    if interval == "hour":
        while at.astimezone(tz).minute:
            at -= timedelta(minutes=15)
        return at
    day = at.astimezone(tz).date()
    while (at - timedelta(minutes=15)).astimezone(tz).date() == day:
        at -= timedelta(minutes=15)
    return at


def _counts(rows: list[Raw], zone: str, interval: str) -> dict[Any, int]:
    found: dict[Any, int] = defaultdict(int)
    for row in rows:
        found[bucket(row["timestamp"], zone, interval), row["eventName"]] += 1
    return dict(found)


def _people(rows: list[Raw], zone: str, interval: str, numbers: Any, merges: Any) -> dict[datetime, int]:
    found: dict[datetime, set[Any]] = defaultdict(set)
    for row in rows:
        key = person_key(row)
        if key is not None:
            number = numbers.get(key, key)
            found[bucket(row["timestamp"], zone, interval)].add(merges.get(number, number))
    return {time: len(people) for time, people in found.items()}


def _nonzero(answer: Any, name: str, figure: str) -> dict[Any, int]:
    return {(row["time"], row[name]): row[figure] for row in answer.rows if row[figure]}


async def _visits(rows: list[Raw], whole: Period) -> list[str]:
    visits: dict[Any, list[datetime]] = defaultdict(list)
    for row in rows:
        if row.get("sessionId"):
            visits[row["appId"], row["sessionId"]].append(row["timestamp"])
    (got,) = (await sessions(whole, Filter())).rows
    begun = [times for times in visits.values() if whole.start <= min(times) < whole.end]
    seconds = sum((max(times) - min(times)).total_seconds() for times in begun)
    expected = (len(begun), round(seconds / len(begun), 3) if begun else 0.0)
    told = (got["sessions"], got["averageSeconds"])
    return [] if told == expected else [f"sessions: {told} != {expected}"]


async def _plans(rows: list[Raw], whole: Period) -> list[str]:
    expected: dict[str, int] = defaultdict(int)
    names = {True: "true", "team": "team", "free": "free", 7: "7"}
    for row in rows:
        plan = row["eventData"].get("plan")
        if row["appId"] == "notes" and plan is not None and whole.start <= row["timestamp"] < whole.end:
            expected[names[plan]] += 1
    got = {row["value"]: row["count"] for row in (await top_values(whole, Filter(app_id="notes"), "plan", 100)).rows}
    return [] if got == dict(expected) else [f"plans: {got} != {dict(expected)}"]


def plainly(times: list[tuple[int, str]], steps: list[str], end: int, within: int) -> list[int]:
    """What `furthest` finds, by trying every start and looking at every event after it."""
    best: list[int] = []
    for start, (began, name) in enumerate(times):
        if name != steps[0] or began >= end:
            continue
        reached = [began]
        for at, event in times[start + 1 :]:
            if len(reached) < len(steps) and event == steps[len(reached)] and at - began <= within:
                reached.append(at)
        if len(reached) > len(best):
            best = reached
    return best
