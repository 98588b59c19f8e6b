"""How often each value of a property came in a span, and by how many each count may be too low.

The answer is the one that there would be if the rollups had passed everything: the unrolled events
are put on top of the property days that they touch, as the worker will.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from app.analytics.query.periods import Period
from app.analytics.query.reader import Filter, View, day_moments, day_number, whole_slots
from app.analytics.rollup.advance import declared_properties
from app.analytics.rollup.delta import Delta, property_value
from app.analytics.rollup.property_days import changed_days, values_of
from app.analytics.rollup.property_values import PropertyValues, in_slots, unlisted_in
from app.analytics.rollup.slots import property_id
from app.errors import Invalid
from models.base import Raw
from models.day import SLOTS, PropertyDay

_FIELDS: Final = (
    "appId",
    "day",
    "eventName",
    "eventCategory",
    "values",
    "totals",
    "counts",
    "outside",
    "bound",
)
_WHOLE: Final = (0, SLOTS)
Spans = dict[int, tuple[int, int]]
"""Day -> the first of its slots that are asked for, and the one after the last."""


async def property_counts(
    view: View, period: Period, which: Filter, name: str
) -> tuple[dict[str, int], Callable[[str], int]]:
    """How often each value came, and by how many a value's count may be too low; of the frequent
    ones by none.

    A value that is absent may have come as often as that, too.

    Args:
        view: the present.
        period: the span, in one bucket.
        which: the events.
        name: the property.

    Raises:
        Invalid: no app in question declares the property.
    """
    declaring = await _declaring(which, name)
    counts: dict[str, int] = defaultdict(int)
    named: dict[str, int] = defaultdict(int)
    all_errors = 0
    if which.user_id is None:
        spans = {day: (first, last) for _, day, first, last in whole_slots(period)}
        for day, values in (await _days(view, which, name, declaring, spans)).values():
            error = _unlisted(values, spans[day])
            all_errors += error
            _add_listed(counts, values, spans[day])
            if error:
                for value in values.listed:
                    named[value] += error
    for row in await _counted_one_by_one(view, period, which):
        had = property_value(row.get("eventData"), name)
        if had is not None and row["appId"] in declaring:
            counts[had] += 1
    return counts, lambda value: all_errors - named.get(value, 0)


async def _declaring(which: Filter, name: str) -> set[str]:
    declaring = {app for app, names in (await declared_properties()).items() if name in names}
    if not (declaring if which.app_id is None else which.app_id in declaring):
        told = "no app has declared it: PUT /v1/apps/{appId} with its name in analyticsProperties"
        raise Invalid.field("?property", "not_allowed", told)
    return declaring


async def _counted_one_by_one(view: View, period: Period, which: Filter) -> list[Raw]:
    """The events that no property day tells of: those of one user, else those of edges that are no
    whole slots."""
    if which.user_id is None:
        return await view.edge_rows(period, which)
    where = {**which.raw, "timestamp": {"$gte": period.start, "$lt": period.end}}
    return await view.raw_rows(where, {"_id": 0, "appId": 1, "eventData": 1})


async def _days(
    view: View, which: Filter, name: str, declaring: set[str], spans: Spans
) -> dict[str, tuple[int, PropertyValues]]:
    """The property days of a span by their ids, the unrolled events on top; slots are read of those
    days that are cut."""
    found: dict[str, tuple[int, PropertyValues]] = {}
    if not spans:
        return found
    where: Raw = {"property": name, **which.days}
    whole = [day for day, span in spans.items() if span == _WHOLE]
    reads: list[tuple[int, int, tuple[str, ...]]] = (
        [(min(whole), max(whole), _FIELDS)] if whole else []
    )
    reads += [(day, day, (*_FIELDS, "slots")) for day, span in spans.items() if span != _WHOLE]
    for first, last, fields in reads:
        for row in await PropertyDay.span(
            *day_moments(first, last + 1), where, fields, view.session
        ):
            day = day_number(row["day"])
            key = (day, row["appId"], row["eventCategory"], row["eventName"])
            found[property_id(*key, name)] = day, values_of(row)
    delta = Delta()
    for row in await view.all_unrolled(which, data=True):
        delta.add(row, [name] if row["appId"] in declaring else [])
    delta.properties = {
        key: values for key, values in delta.properties.items() if key[0][0] in spans
    }
    for changed in await changed_days(delta, view.session):
        found[changed.name] = changed.key[0], changed.after
    return found


def _unlisted(values: PropertyValues, span: tuple[int, int]) -> int:
    return values.bound if span == _WHOLE else unlisted_in(values, *span)


def _add_listed(counts: dict[str, int], values: PropertyValues, span: tuple[int, int]) -> None:
    for value, counted in values.listed.items():
        count = counted.total if span == _WHOLE else in_slots(counted, *span)
        if count:
            counts[value] += count
