"""The values of a property on one day: the most frequent ones are listed, each of the others is
kept apart.

What is listed follows from the events alone, in whatever order and windows they came in, and events
can be taken out
again: the most frequent values are, of equally frequent ones those that come first in the order of
    their characters.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from app.analytics.rollup.slots import added, unpack

MOST_LISTED: Final = 500
_LOW, _MORE = 0x7F, 0x80


@dataclass(frozen=True, slots=True)
class Counted:
    """How often a value came: on the whole day, and in each slot, as `pack_slots` packs it."""

    total: int
    slots: bytes


Changes = Mapping[str, Mapping[int, int]]
"""Value -> slot -> how many events come or go."""
Values = dict[str, Counted]


@dataclass(slots=True)
class PropertyValues:
    """The values of a property on a day.

    Attributes:
        listed: the most frequent ones, in their order.
        counts: the events of all values by slot, packed.
        outside: how many more values there are.
        bound: how often one that is not listed may have come at most.
        capped: those that are not listed are not kept one by one (any more): `bound` alone tells of
            them.
    """

    listed: Values = field(default_factory=dict)
    counts: bytes = b""
    outside: int = 0
    bound: int = 0
    capped: bool = False


def pack_slots(counts: Mapping[int, int]) -> bytes:
    """Counts by slot: the number of each that has one, and the count in groups of seven bits, the
    low ones first."""
    packed = bytearray()
    for slot in sorted(counts):
        count = counts[slot]
        packed.append(slot)
        while count > _LOW:
            packed.append(count & _LOW | _MORE)
            count >>= 7
        packed.append(count)
    return bytes(packed)


def unpack_slots(packed: bytes) -> Iterator[tuple[int, int]]:
    """Slots and counts, as they were packed."""
    at = iter(packed)
    for slot in at:
        count = shift = 0
        while (byte := next(at)) & _MORE:
            count |= (byte & _LOW) << shift
            shift += 7
        yield slot, count | byte << shift


def in_order(value: str, counted: Counted) -> tuple[int, str]:
    """The place of a value among others."""
    return -counted.total, value


def after(
    before: PropertyValues | None, near: Mapping[str, Counted], changes: Changes, sign: int = 1
) -> tuple[PropertyValues, dict[str, Counted | None]]:
    """What events make of the values.

    Args:
        before: the values as they were; None where there were none.
        near: of those that are not listed the changed ones; and where events go, as many of the
            most frequent ones as values change, since they may be listed then.
        changes: the events.
        sign: 1 where they come, -1 where they go.

    Returns:
        The values as they are; and value -> what is kept of it apart from the list, None where that
        goes.
    """
    before = before or PropertyValues()
    pool = {**before.listed, **near}
    bound = before.bound
    for value, slots in changes.items():
        former = pool.get(value)
        if former is None and (before.capped or sign < 0):
            bound += sum(slots.values()) if sign > 0 else 0
            continue
        pool[value] = _changed(former, slots, sign)
    ranked = sorted(
        (each for each in pool.items() if each[1].total), key=lambda each: in_order(*each)
    )
    listed, rest = dict(ranked[:MOST_LISTED]), dict(ranked[MOST_LISTED:])
    apart: dict[str, Counted | None] = {
        value: kept for value, kept in rest.items() if near.get(value) != kept
    }
    apart |= dict.fromkeys(near.keys() - rest.keys())
    found = PropertyValues(listed, _all_changed(before.counts, changes, sign), capped=before.capped)
    if before.capped:  # only adding values could make such a list too long, and it takes none
        found.bound, found.outside = bound, before.outside
    else:
        found.outside = before.outside - len(near) + len(rest)
        found.bound = ranked[MOST_LISTED - 1][1].total if found.outside else 0
    return found, apart


def _changed(former: Counted | None, changes: Mapping[int, int], sign: int) -> Counted:
    if former is None:
        return Counted(sum(changes.values()), pack_slots(changes))
    counts = dict(unpack_slots(former.slots))
    for slot, change in changes.items():
        counts[slot] = max(0, counts.get(slot, 0) + sign * change)
    counts = {slot: count for slot, count in counts.items() if count}
    return Counted(sum(counts.values()), pack_slots(counts))


def _all_changed(counts: bytes, changes: Changes, sign: int) -> bytes:
    total: dict[int, int] = {}
    for slots in changes.values():
        for slot, change in slots.items():
            total[slot] = total.get(slot, 0) + sign * change
    return added(counts or None, total)


def in_slots(counted: Counted, first: int, last: int) -> int:
    """How often a value came in the slots from `first` up to but not including `last`."""
    return sum(count for slot, count in unpack_slots(counted.slots) if first <= slot < last)


def unlisted_in(values: PropertyValues, first: int, last: int) -> int:
    """How often a value that is not listed may have come in these slots at most."""
    if not values.bound:
        return 0
    listed = sum(in_slots(counted, first, last) for counted in values.listed.values())
    return max(0, min(values.bound, sum(unpack(values.counts)[first:last]) - listed))
