"""Funnels and retention: what the same people did, one thing after another and time after time."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from bson import ObjectId
from pyroaring import BitMap

from app.analytics.query.known_sets import KnownSets
from app.analytics.query.people_sets import bucket_people
from app.analytics.query.periods import Period
from app.analytics.query.queries import Rows
from app.analytics.query.reader import Filter, View, opened_view
from app.analytics.rollup.delta import FIELDS
from app.analytics.rollup.people import persons_of
from app.analytics.rollup.slots import milliseconds, moment_of
from models.base import Raw
from models.person import person_key

_FIRST_DAY: Final = 0
_FIELDS: Final = {**FIELDS, "receivedAt": 1}
STEPS: Final = ("step", "eventName", "users", "fromFirst", "fromPrevious", "medianSeconds")
COHORTS: Final = ("cohort", "period", "users", "share")


async def funnel(period: Period, which: Filter, steps: list[str], within: timedelta) -> Rows:
    """How many people did the steps one after the other, the last within a time of the first.

    The first step lies in the period. Of several tries the one that came furthest counts.
    `fromFirst` and `fromPrevious` are shares; `medianSeconds` is the median time since the step
    before. Events of one millisecond are in the order in which they were sent. It is counted from
    raw events: those of the steps' names, by an index.
    """
    async with opened_view() as view:
        moments = await _moments_of_people(view, period, which, steps, within)
        reached = [0] * len(steps)
        waits: list[list[float]] = [[] for _ in steps]
        for times in moments.values():
            best = furthest(
                times, steps, milliseconds(period.end), int(within.total_seconds() * 1000)
            )
            for place, at in enumerate(best):
                reached[place] += 1
                if place:
                    waits[place].append((at - best[place - 1]) / 1000)
        rows: list[Raw] = []
        for place, name in enumerate(steps):
            rows.append(
                {
                    "step": place + 1,
                    "eventName": name,
                    "users": reached[place],
                    "fromFirst": _share(reached[place], reached[0]),
                    "fromPrevious": _share(
                        reached[place], reached[place - 1] if place else reached[0]
                    ),
                    "medianSeconds": round(median(waits[place]), 3) if waits[place] else None,
                }
            )
        return Rows(rows, STEPS, view.exact)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


async def _moments_of_people(
    view: View, period: Period, which: Filter, steps: list[str], within: timedelta
) -> dict[Any, list[tuple[int, str]]]:
    """Person -> the moments of their steps, in order; those of one millisecond in the order in
    which they were sent."""
    where: Raw = {
        **which.raw,
        "eventName": {"$in": sorted(set(steps))},
        "timestamp": {"$gte": period.start, "$lt": period.end + within},
    }
    rows = sorted(await view.many_rows(where, fields=_FIELDS), key=_sent_order)
    persons = await persons_of(rows, view.session)
    found: dict[Any, list[tuple[int, str]]] = defaultdict(list)
    for row in rows:
        key = person_key(row)
        if key is not None:
            found[persons[key]].append((milliseconds(row["timestamp"]), row["eventName"]))
    return found


def _sent_order(row: Raw) -> tuple[datetime, datetime, ObjectId]:
    """By time; of one millisecond by request, and within a request as sent: `_id`s of a request
    ascend."""
    return row["timestamp"], row["receivedAt"], row["_id"]


def furthest(
    times: Sequence[tuple[int, str]], steps: Sequence[str], end: int, within: int
) -> list[int]:
    """The moments of the steps in the try that came furthest, the first of those that came as far.

    Of each try, the next step is looked up among the places of its name: a person's cost grows with
    their events, times the logarithm of these.

    Args:
        times: moments and event names of one person, in order.
        steps: the event names.
        end: before it the first step lies; in milliseconds, as all are.
        within: so long it may take from the first step to the last.
    """
    places: dict[str, list[int]] = {}
    for place, (_, name) in enumerate(times):
        places.setdefault(name, []).append(place)
    best: list[int] = []
    for start in places.get(steps[0], ()):
        began = times[start][0]
        if began >= end:
            break
        reached, at = [began], start
        for name in steps[1:]:
            found = places.get(name, [])
            following = bisect_right(found, at)
            if following == len(found) or times[found[following]][0] - began > within:
                break
            at = found[following]
            reached.append(times[at][0])
        if len(reached) > len(best):
            best = reached
        if len(best) == len(steps):
            break
    return best


async def retention(
    period: Period, which: Filter, returning: Filter, known: KnownSets | None = None
) -> Rows:
    """Of the people who were there for the first time in each bucket, how many came back in the
    ones after it.

    Args:
        period: the span in buckets of a day, week or month.
        which: the events that make somebody a new person; who had one before the period is none.
        returning: the events by which they come back.
        known: sets of people that were read before.
    """
    async with opened_view(known) as view:
        people = await bucket_people(view, period, which)
        back = people if returning == which else await bucket_people(view, period, returning)
        seen = await _seen_before(view, period, which)
        rows: list[Raw] = []
        for number, bucket in enumerate(period.buckets):
            cohort = people[number] - seen
            seen |= cohort
            for later in range(number, len(period.buckets)):
                users = len(cohort) if later == number else len(cohort & back[later])
                rows.append(
                    {
                        "cohort": bucket.time,
                        "period": later - number,
                        "users": users,
                        "share": _share(users, len(cohort)),
                    }
                )
        return Rows(rows, COHORTS, view.freshness)


async def _seen_before(view: View, period: Period, which: Filter) -> BitMap:
    """Everybody who was there before the period."""
    start = moment_of(_FIRST_DAY)
    if period.start <= start:
        return BitMap()
    before = Period.of(start, moment_of(period.buckets[0].start), None, period.zone)
    return (await bucket_people(view, before, which))[0]
