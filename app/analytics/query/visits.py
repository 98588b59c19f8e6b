"""Sessions: how many began when, how long they were, of how many events."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from app.analytics.query.periods import Period
from app.analytics.query.queries import Rows, columns_of
from app.analytics.query.reader import Filter, View, day_moments, day_number, opened_view
from app.analytics.rollup.delta import (
    FIELDS,
    Delta,
    SessionChanges,
    joined_visit,
    replace_visit,
    stored_visit,
)
from app.analytics.rollup.slots import SLOT_MS, milliseconds, moment_of, unpack
from models.base import Raw
from models.day import SLOTS, SessionDay
from models.session import VisitSession

_DAY: Final = timedelta(days=1)


async def sessions(period: Period, which: Filter, *, previous: bool = False) -> Rows:
    """Sessions that began in each bucket: how many, how long, of how many events, and how many of
    one event only.

    Whole slots are counted: `from` is rounded down and `to` up to a quarter of an hour.
    """
    async with opened_view() as view:
        figures = await _session_figures(view, period, which)
        before = await _session_figures(view, period.previous(), which) if previous else None
        rows: list[Raw] = []
        for number, bucket in enumerate(period.buckets):
            count, duration, events, bounces = figures[number]
            row: Raw = {"time": bucket.time} if period.interval else {}
            row |= {
                "sessions": count,
                "averageSeconds": round(duration / count / 1000, 3) if count else 0.0,
                "eventsPerSession": round(events / count, 3) if count else 0.0,
                "bounceRate": round(bounces / count, 6) if count else 0.0,
            }
            if before is not None:
                row["previous"] = before[number][0] if number < len(before) else 0
            rows.append(row)
        more = ["previous"] if previous else []
        names = ("sessions", "averageSeconds", "eventsPerSession", "bounceRate", *more)
        return Rows(rows, columns_of(period, *names), view.freshness)


_SUMS: Final = ("sessions", "duration", "events", "bounces")


def _slots_of(row: Raw) -> Iterator[tuple[int, list[int]]]:
    """The slots of a day that have sessions, by their number, with their sums."""
    day = day_number(row["day"])
    for slot, sums in enumerate(zip(*(unpack(row[name], "Q") for name in _SUMS), strict=True)):
        if sums[0]:
            yield day * SLOTS + slot, list(sums)


async def _session_figures(view: View, period: Period, which: Filter) -> list[list[int]]:
    figures = [[0, 0, 0, 0] for _ in period.buckets]
    if which.user_id is not None:
        return await _sessions_of_user(view, period, which, figures)
    start, end = moment_of(period.buckets[0].start), moment_of(period.buckets[-1].end)
    first, last = milliseconds(start) // SLOT_MS, -(-milliseconds(end) // SLOT_MS)
    days = day_moments(first // SLOTS, -(-last // SLOTS))
    for row in await SessionDay.span(*days, which.app, ("day", *_SUMS), view.session):
        for slot, sums in _slots_of(row):
            _add_sessions(figures, period, slot, sums, first, last)
    for (day, _), slots in (await _tail_visits(view, which)).items():
        for slot, change in slots.items():
            _add_sessions(figures, period, day * SLOTS + slot, change, first, last)
    return figures


async def _sessions_of_user(
    view: View, period: Period, which: Filter, figures: list[list[int]]
) -> list[list[int]]:
    """One user's sessions, from their events; one that began more than a day before the span is cut
    there."""
    delta = Delta()
    where = {**which.raw, "timestamp": {"$gte": period.start - _DAY, "$lt": period.end + _DAY}}
    for row in await view.raw_rows(where, FIELDS):
        delta.add(row)
    for visit in delta.visits.values():
        number = period.bucket_at(visit.start)
        if number is not None:
            for place, value in enumerate(
                (1, visit.end - visit.start, visit.events, int(visit.events == 1))
            ):
                figures[number][place] += value
    return figures


def _add_sessions(
    figures: list[list[int]], period: Period, slot: int, change: list[int], first: int, last: int
) -> None:
    if not first <= slot < last:
        return
    at = min(max(slot * SLOT_MS, period.buckets[0].start), period.buckets[-1].end - 1)
    number = period.bucket_at(at)
    if number is not None:
        for place, value in enumerate(change):
            figures[number][place] += value


async def _tail_visits(view: View, which: Filter) -> SessionChanges:
    """What the unrolled events change about sessions, those that are known already among them."""
    delta = Delta()
    for row in await view.all_unrolled(which):
        delta.add(row)
    stored = await VisitSession.fetch(delta.visits, view.session)
    changes: SessionChanges = {}
    for name, visit in delta.visits.items():
        before = stored_visit(stored[name]) if name in stored else None
        replace_visit(changes, before, joined_visit(before, visit))
    return changes
