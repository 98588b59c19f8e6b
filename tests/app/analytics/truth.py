"""The truth: figures from every raw event, by plain Python, against what the queries say."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.analytics.query.known_sets import KnownSets
from app.analytics.query.periods import Period
from app.analytics.query.queries import active_users, count_events, top_values
from app.analytics.query.reader import Filter
from app.analytics.query.visits import sessions
from app.analytics.rollup import property_values
from models.analytics import Analytics
from models.base import Raw
from models.person import Person, PersonMerge, person_key

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
CLOCK_CHANGES = [
    datetime(2026, *day, tzinfo=UTC)
    for day in ((3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1))
]
"""Days on which clocks change: America, Europe, Lord Howe (by half an hour), in both directions."""

KNOWN = KnownSets()
"""What the queries of a test remember from one look to the next, as those of an application do."""


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
                chosen = [
                    row
                    for row in rows
                    if app in (None, row["appId"]) and start <= row["timestamp"] < end
                ]
                which = Filter(app_id=app)
                expected = _counts(chosen, zone, interval)
                got = _nonzero(await count_events(period, which, "eventName"), "eventName", "count")
                if got != expected:
                    found.append(f"counts {zone} {interval} {app}: {got} != {expected}")
                expected = _people(chosen, zone, interval, numbers, merges)
                got = {
                    row["time"]: row["activeUsers"]
                    for row in (await active_users(period, which, KNOWN)).rows
                }
                if {time: count for time, count in got.items() if count} != expected:
                    found.append(f"people {zone} {interval} {app}: {got} != {expected}")
    whole = Period.of(start, end, None, ZoneInfo("UTC"))
    found += await _visits(rows, whole)
    found += await _plans(rows, whole)
    return found


def bucket(moment: datetime, zone: str, interval: str) -> datetime:
    """The start of the bucket that a moment is in, by walking back until the local clock says that
    it begins."""
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


def _people(
    rows: list[Raw], zone: str, interval: str, numbers: Any, merges: Any
) -> dict[datetime, int]:
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
    """The values of a property: in whole days, and in a span that cuts its first and last day."""
    found = []
    for start, end in (
        (whole.start, whole.end),
        (whole.start + timedelta(hours=5.75), whole.end - timedelta(hours=9)),
    ):
        span = Period.of(start, end, None, ZoneInfo("UTC"))
        expected = top_of(rows, "notes", "plan", start, end, property_values.MOST_LISTED)
        answer = await top_values(span, Filter(app_id="notes"), "plan", 100, KNOWN)
        got = [(row["value"], row["count"], row["error"]) for row in answer.rows]
        if got != expected:
            found.append(f"plans from {start}: {got} != {expected}")
    return found


def top_of(
    rows: list[Raw], app: str, name: str, start: datetime, end: datetime, most: int
) -> list[tuple[str, int, int]]:
    """(Value, count, error) of the span, as every event together makes them: so many values of each
    day are listed."""
    days: dict[Any, list[tuple[str, datetime]]] = defaultdict(list)
    for row in rows:
        value = row["eventData"].get(name)
        if row["appId"] == app and value is not None:
            day = row["timestamp"].date()
            text = str(value).lower() if isinstance(value, bool) else str(value)
            days[day, row["eventCategory"], row["eventName"]].append((text, row["timestamp"]))
    counts, errors = Counter[str](), Counter[str]()
    everywhere = 0
    for (day, *_), told in days.items():
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if midnight >= end or midnight + timedelta(days=1) <= start:
            continue
        ranked = sorted(
            Counter(value for value, _ in told).items(), key=lambda each: (-each[1], each[0])
        )
        listed, rest = [value for value, _ in ranked[:most]], ranked[most:]
        within = Counter(value for value, moment in told if start <= moment < end)
        bound = ranked[most - 1][1] if rest else 0
        if not start <= midnight or midnight + timedelta(days=1) > end:
            bound = min(bound, sum(within[value] for value, _ in rest))
        everywhere += bound
        for value in listed:
            counts[value] += within[value]
            errors[value] += bound
    found = [(value, count, everywhere - errors[value]) for value, count in counts.items() if count]
    return sorted(found, key=lambda each: (-each[1], each[0]))


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
