"""The people of a span, as sets of numbers: the fewest stored sets that cover it, and those who
came in since."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from pyroaring import BitMap

from app.analytics.query.periods import Period
from app.analytics.query.reader import Filter, View, day_moments, day_number
from app.analytics.rollup.delta import scopes_of
from app.analytics.rollup.joins import merged
from app.analytics.rollup.people import known_people
from app.analytics.rollup.slots import milliseconds, nodes, people_id
from models.aside import tell
from models.base import Raw
from models.day import LEVELS, SLOTS, PeopleDay
from models.person import PersonMerge, person_key
from models.unreadable import FAULTS

_UNKNOWN: Final = 2**32 - 1
_FIRST_DAY: Final = datetime(1, 1, 1, tzinfo=UTC)
_LONG: Final = timedelta(days=400)
_CATEGORIES: Final = ("engagement", "conversion", "error", "custom")

Sets = dict[str | None, list[list[BitMap]]]
"""Event name, or None for any event that the filter lets pass -> for each bucket, sets to be
united."""


async def bucket_people(view: View, period: Period, which: Filter) -> list[BitMap]:
    """The people of each bucket, as numbers; people who have none yet get one for the moment."""
    sets: Sets = {None: [[] for _ in period.buckets]}
    scopes: dict[str, str | None] = dict.fromkeys(_scopes(which))
    await _add_people(view, period, which, scopes, sets)
    united = await _united(view, sets)
    return united[None]


async def event_people(
    view: View, period: Period, which: Filter, names: Sequence[str]
) -> dict[str, BitMap]:
    """The people of each of these events in the whole period."""
    sets: Sets = {name: [[] for _ in period.buckets] for name in names}
    scopes: dict[str, str | None] = {
        scope: name
        for name in names
        for scope in _scopes(Filter(which.app_id, which.user_id, name, which.event_category))
    }
    await _add_people(view, period, which, scopes, sets)
    united = await _united(view, sets)
    return {name: BitMap.union(*united[name]) if united[name] else BitMap() for name in names}


async def _add_people(
    view: View, period: Period, which: Filter, scopes: dict[str, str | None], sets: Sets
) -> None:
    if which.user_id is None and period.interval != "minute" and scopes:
        await _add_stored(view, period, which, scopes, sets)
    rows = await view.countable_rows(period, which)
    known = await known_people(
        {key for row in rows if (key := person_key(row)) is not None}, view.session
    )
    unrolled: dict[tuple[str | None, int], set[int]] = defaultdict(set)
    for row in rows:
        key = person_key(row)
        number = period.bucket_at(milliseconds(row["timestamp"]))
        if key is None or number is None:
            continue
        person = known.numbers.get(key)
        if person is None:
            person = view.strangers.setdefault(key, _UNKNOWN - len(view.strangers))
        name = None if None in sets else row["eventName"]
        if name in sets:
            unrolled[name, number].add(person)
    for (name, number), people in unrolled.items():
        sets[name][number].append(BitMap(people))


async def _add_stored(
    view: View, period: Period, which: Filter, scopes: dict[str, str | None], sets: Sets
) -> None:
    """Find the fewest sets that cover each bucket, those of a level at once; read those that are
    not known yet."""
    wanted: dict[int, dict[int, dict[int, list[int]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    earliest = await _earliest(view, period)
    for number, bucket in enumerate(period.buckets):
        first, last = bucket.slots
        for level, day, group in nodes(max(first, earliest), last):
            wanted[level][day][group].append(number)
    chosen = list(scopes)
    for level, days in wanted.items():
        where: Raw = {
            "scope": chosen[0] if len(chosen) == 1 else {"$in": chosen},
            "level": level,
            **which.app,
        }
        there = await PeopleDay.stamps(*day_moments(min(days), max(days) + 1), where, view.session)
        unknown: dict[str, tuple[str, dict[int, list[int]]]] = {}
        for row in there:
            day = day_number(row["day"])
            if (groups := days.get(day)) is None:
                continue
            name, scope = people_id(day, row["appId"], level, row["scope"]), row["scope"]
            known = view.known.find(name, row.get("stamp"), groups)
            if known is None:
                unknown[name] = scope, groups
            else:
                _add_groups(sets[scopes[scope]], groups, known)
        await _read_unknown(view, unknown, scopes, sets)


async def _read_unknown(
    view: View,
    unknown: dict[str, tuple[str, dict[int, list[int]]]],
    scopes: dict[str, str | None],
    sets: Sets,
) -> None:
    fields = {f"sets.{group}" for _, groups in unknown.values() for group in groups}
    for name, row in (
        await PeopleDay.fetch(unknown, view.session, [*sorted(fields), "stamp"])
    ).items():
        scope, groups = unknown[name]
        try:
            packed = row.get("sets", {})
            read = view.known.keep(
                name, row.get("stamp"), {group: packed.get(str(group), b"") for group in groups}
            )
        except FAULTS as error:
            tell(PeopleDay, name, error)
        else:
            _add_groups(sets[scopes[scope]], groups, read)


def _add_groups(
    buckets: list[list[BitMap]], groups: dict[int, list[int]], found: Mapping[int, BitMap]
) -> None:
    for group, numbers in groups.items():
        people = found[group]
        for number in numbers:
            buckets[number].append(people)


async def _united(view: View, sets: Sets) -> dict[str | None, list[BitMap]]:
    """Each bucket's sets as one, everybody counted as whom they turned out to be."""
    merges = await PersonMerge.pending(view.session)
    gone = BitMap(merges)
    united = {
        name: [BitMap.union(*found) if found else BitMap() for found in buckets]
        for name, buckets in sets.items()
    }
    if not merges:
        return united
    return {
        name: [merged(people, gone, merges) for people in buckets]
        for name, buckets in united.items()
    }


async def _earliest(view: View, period: Period) -> int:
    """The first slot of which there may be people, looked up where a period is long."""
    if period.end - period.start < _LONG:
        return 0
    where = {"scope": "*", "level": len(LEVELS) - 1, "day": {"$gte": _FIRST_DAY}}
    row = await PeopleDay.raw().find_one(where, {"day": 1}, sort=[("day", 1)], session=view.session)
    return day_number(row["day"]) * SLOTS if row else 0


def _scopes(which: Filter) -> list[str]:
    """Which sets of people answer a filter; of an event of any category, those of each."""
    if which.event_name is None:
        return ["*"] if which.event_category is None else [f"c:{which.event_category}"]
    categories = _CATEGORIES if which.event_category is None else (which.event_category,)
    return [scopes_of(category, which.event_name)[-1] for category in categories]
