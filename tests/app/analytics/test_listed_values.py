"""Which values of a property are listed on a day follows from its events alone."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.analytics.rollup import property_values
from app.analytics.rollup.property_values import (
    Counted,
    PropertyValues,
    after,
    pack_slots,
    unpack_slots,
)

changes = st.dictionaries(
    st.sampled_from("abcdef"),
    st.dictionaries(st.integers(0, 95), st.integers(1, 300), max_size=3).filter(bool),
)


@given(steps=st.lists(st.tuples(changes, st.booleans()), max_size=12))
def test_what_is_listed_follows_from_the_events_alone(steps: list[tuple[Any, bool]]) -> None:
    """Events come and go in any order; what is kept is what those that are there make of a fresh
    day."""
    most = property_values.MOST_LISTED
    property_values.MOST_LISTED = 2  # type: ignore[misc]
    try:
        _follow(steps)
    finally:
        property_values.MOST_LISTED = most  # type: ignore[misc]


def _follow(steps: list[tuple[Any, bool]]) -> None:
    there: list[Any] = []
    values, apart = PropertyValues(), dict[str, Counted]()
    for come_in, goes in steps:
        sign, what = (-1, there.pop(0)) if goes and there else (1, come_in)
        if sign > 0:
            there.append(what)
        near = {value: apart[value] for value in what if value in apart}
        if sign < 0:
            ranked = sorted(apart.items(), key=lambda each: (-each[1].total, each[0]))
            near |= dict(ranked[: len(what)])
        values, changed = after(values, near, what, sign)
        apart = {name: kept for name, kept in {**apart, **changed}.items() if kept is not None}
    total: dict[str, Counter[int]] = {}
    for what in there:
        for value, slots in what.items():
            total.setdefault(value, Counter()).update(slots)
    fresh, fresh_apart = after(None, {}, total)
    assert (list(values.listed.items()), apart) == (list(fresh.listed.items()), fresh_apart)
    assert (values.outside, values.bound) == (fresh.outside, fresh.bound)
    assert values.counts.strip(b"\0") == fresh.counts.strip(b"\0")


@given(st.dictionaries(st.integers(0, 95), st.integers(1, 2**40)))
def test_packed_slots_are_the_slots(counts: dict[int, int]) -> None:
    assert dict(unpack_slots(pack_slots(counts))) == counts
