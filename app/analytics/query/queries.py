"""The queries of dashboards: counts, people, sessions, errors, values; each answers flat rows
(docs/analytics.md)."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pymongo.errors import OperationFailure
from pyroaring import BitMap

from app.analytics.query.known_sets import KnownSets
from app.analytics.query.people_sets import bucket_people, event_people
from app.analytics.query.periods import Period
from app.analytics.query.property_counts import property_counts
from app.analytics.query.reader import (
    Filter,
    Freshness,
    View,
    day_number,
    day_range,
    opened_view,
    whole_slots,
)
from app.analytics.rollup.slots import milliseconds, unpack
from app.errors import Invalid
from app.errors.driver import SNAPSHOT_GONE
from models.base import Raw
from models.day import SLOTS, CountDay

_TRIES: Final = 3
MOST_ROWS: Final = 100_000
"""So many rows an answer has at most: some 10 MB of JSON."""
Figures = dict[Any, list[int]]
"""What is counted -> a count for each bucket."""


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer: flat rows, the columns that each has, how fresh it is."""

    rows: list[Raw]
    columns: tuple[str, ...]
    fresh: Freshness


async def count_events(
    period: Period, which: Filter, field: str, *, previous: bool = False
) -> Rows:
    """How often events happened, by `eventName` or `eventCategory`, most frequent first; every
    bucket is there.

    Args:
        period: the span in buckets.
        which: the events.
        field: by which field.
        previous: add the count of the span before, as `previous`.

    Raises:
        Invalid: there would be more than `MOST_ROWS`, since every name has a row in every bucket.
    """
    async with opened_view() as view:
        figures = await event_figures(view, period, which, field)
        before = await event_figures(view, period.previous(), which, field) if previous else None
        return _counted(period, figures, before, field, view.freshness)


def _counted(
    period: Period, figures: Figures, before: Figures | None, field: str, fresh: Freshness
) -> Rows:
    names = figures.keys() | (before or {}).keys()
    _check_rows(period, len(names))
    zeros = [0] * len(period.buckets)
    totals = {name: sum(figures.get(name, zeros)) for name in names}
    order = sorted(names, key=lambda name: (-totals[name], name))
    rows: list[Raw] = []
    for number, bucket in enumerate(period.buckets):
        for name in order:
            row: Raw = {"time": bucket.time} if period.interval else {}
            row |= {field: name, "count": figures.get(name, zeros)[number]}
            if before is not None:
                row["previous"] = _at(before.get(name, []), number)
            rows.append(row)
    columns = columns_of(period, field, "count", *(["previous"] if before is not None else []))
    return Rows(rows, columns, fresh)


def _check_rows(period: Period, names: int) -> None:
    if names * len(period.buckets) > MOST_ROWS:
        detail = (
            f"each of {names} names in each of {len(period.buckets)} buckets would be more than"
            f" {MOST_ROWS} rows"
        )
        pointer = "?from" if period.interval is None else "?interval"
        raise Invalid.field(
            pointer, "too_many", f"{detail}: ask for wider buckets, a shorter span or one name"
        )


def _at(counts: list[int], number: int) -> int:
    return counts[number] if number < len(counts) else 0


def columns_of(period: Period, *names: str) -> tuple[str, ...]:
    """The columns of rows that may have a time."""
    return ("time", *names) if period.interval else names


async def event_figures(view: View, period: Period, which: Filter, field: str) -> Figures:
    """Counts of events by the value of a field, a number for each bucket.

    Raises:
        Invalid: these would be more than `MOST_ROWS`.
    """
    figures: Figures = {}
    if not period.buckets:
        return figures
    if which.user_id is None and period.interval != "minute":
        start, end = day_range(period)
        documents = await CountDay.span(
            start, end, which.days, ("day", field, "counts"), view.session
        )
        figures = add_slots(period, documents, "counts", field)
    for row in await view.countable_rows(period, which):
        number = period.bucket_at(milliseconds(row["timestamp"]))
        if number is not None:
            _numbers(figures, period, row[field])[number] += 1
    return {name: counts for name, counts in figures.items() if any(counts)}


def _numbers(figures: Figures, period: Period, name: str) -> list[int]:
    """The numbers of a name, zeros where it is new; where there are several buckets, of so many
    names as fit rows."""
    numbers = figures.get(name)
    if numbers is None:
        if len(period.buckets) > 1:
            _check_rows(period, len(figures) + 1)
        numbers = figures[name] = [0] * len(period.buckets)
    return numbers


def add_slots(
    period: Period, documents: Iterable[Mapping[str, Any]], packed: str, field: str
) -> Figures:
    """Sum packed counts of day documents into buckets, by the value of a field.

    Raises:
        Invalid: these would be more than `MOST_ROWS`.
    """
    parts: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for number, day, first, last in whole_slots(period):
        parts[day].append((number, first, last))
    figures: Figures = {}
    for row in documents:
        wanted = parts.get(day_number(row["day"]))
        if wanted is None:
            continue
        counts = unpack(row[packed])
        for number, first, last in wanted:
            if happened := sum(counts) if last - first == SLOTS else sum(counts[first:last]):
                _numbers(figures, period, row[field])[number] += happened
    return figures


async def error_rates(period: Period, which: Filter, *, previous: bool = False) -> Rows:
    """Events, errors among them, and their share, for each bucket."""
    async with opened_view() as view:
        figures = await event_figures(view, period, which, "eventCategory")
        before = (
            await event_figures(view, period.previous(), which, "eventCategory")
            if previous
            else None
        )
        rows: list[Raw] = []
        for number, bucket in enumerate(period.buckets):
            row: Raw = {"time": bucket.time} if period.interval else {}
            row |= _error_rate(figures, number)
            if before is not None:
                row["previous"] = _error_rate(before, number)["errorRate"]
            rows.append(row)
        more = ["previous"] if previous else []
        return Rows(
            rows, columns_of(period, "events", "errors", "errorRate", *more), view.freshness
        )


def _error_rate(figures: Figures, number: int) -> Raw:
    events = sum(_at(counts, number) for counts in figures.values())
    errors = _at(figures.get("error", []), number)
    return {
        "events": events,
        "errors": errors,
        "errorRate": round(errors / events, 6) if events else 0.0,
    }


def _row_of_people(
    period: Period, number: int, people: list[BitMap], before: list[BitMap] | None
) -> Raw:
    row: Raw = {"time": period.buckets[number].time} if period.interval else {}
    row["activeUsers"] = len(people[number])
    if before is not None:
        row["previous"] = len(before[number]) if number < len(before) else 0
    return row


async def active_users(
    period: Period,
    which: Filter,
    known: KnownSets | None = None,
    *,
    previous: bool = False,
    rolling: bool = False,
) -> Rows:
    """How many different people there were in each bucket; `rolling` adds those of the 7 and 30
    days that it ends."""
    async with opened_view(known) as view:
        people = await bucket_people(view, period, which)
        before = await bucket_people(view, period.previous(), which) if previous else None
        rows = [
            _row_of_people(period, number, people, before) for number in range(len(period.buckets))
        ]
        columns = ["activeUsers", *(["previous"] if previous else [])]
        if rolling:
            for name, days in (("weekly", 7), ("monthly", 30)):
                await _add_rolling(view, period, which, rows, name, days)
                columns.append(name)
        return Rows(rows, columns_of(period, *columns), view.freshness)


async def _add_rolling(
    view: View, period: Period, which: Filter, rows: list[Raw], name: str, days: int
) -> None:
    """Add the people of each day with the days before it: so many of the calendar, be they of 23
    hours or 25."""
    daily = period.with_days_before(days - 1)
    people = await bucket_people(view, daily, which)
    begins = [bucket.time for bucket in daily.buckets]
    for row, bucket in zip(rows, period.buckets, strict=True):
        last = bisect_right(begins, bucket.time)
        chosen = people[max(0, last - days) : last]
        row[name] = len(BitMap.union(*chosen)) if chosen else 0


async def top_values(
    period: Period,
    which: Filter,
    name: str | None,
    limit: int,
    known: KnownSets | None = None,
) -> Rows:
    """The most frequent events with their people; or the most frequent values of a declared
    property.

    Args:
        period: the span.
        which: the events.
        name: the property; None for events.
        limit: how many at most.
        known: sets of people that were read before.

    Raises:
        Invalid: no app in question declares the property.
    """
    # rows have no time: one sum for each name will do
    period = Period.of(period.start, period.end, None, period.zone)
    async with opened_view(known) as view:
        if name is not None:
            counts, errors = await property_counts(view, period, which, name)
            rows = [
                {"value": value, "count": count, "error": errors(value)}
                for value, count in _most(counts, limit)
            ]
            return Rows(rows, ("value", "count", "error"), view.freshness)
        figures = await event_figures(view, period, which, "eventName")
        most = _most({event: sum(counts) for event, counts in figures.items()}, limit)
        people = await event_people(view, period, which, [event for event, _ in most])
        rows = [
            {"eventName": event, "count": count, "users": len(people[event])}
            for event, count in most
        ]
        return Rows(rows, ("eventName", "count", "users"), view.freshness)


def _most(counts: Mapping[str, int], limit: int) -> list[tuple[str, int]]:
    return sorted(
        ((value, count) for value, count in counts.items() if count),
        key=lambda each: (-each[1], each[0]),
    )[:limit]


async def retried(query: Callable[[], Any]) -> Any:
    """A query's answer, asked for again where its snapshot was gone before it was read."""
    for attempt in range(_TRIES):
        try:
            return await query()
        except OperationFailure as error:
            if error.code not in SNAPSHOT_GONE or attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")
