"""Slots of 15 minutes: where a moment lies, which day documents hold it, and how counts are
packed."""

import sys
from array import array
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from models.day import LEVELS, SLOTS

SLOT_MS: Final = 15 * 60 * 1000
DAY_MS: Final = SLOT_MS * SLOTS
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_MILLISECOND: Final = timedelta(milliseconds=1)


def milliseconds(moment: Any) -> int:
    """Milliseconds since 1970 of a datetime, or of the driver's own kind of it."""
    if isinstance(moment, DatetimeMS):
        return int(moment)
    elapsed: int = (moment - EPOCH) // _MILLISECOND
    return elapsed


def moment_of(ms: int) -> datetime:
    """The datetime of so many milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=ms)


def day_start(day: int) -> datetime:
    """Midnight (UTC) of a day that is counted from 1970."""
    return EPOCH + timedelta(days=day)


def day_name(day: int) -> str:
    """`2026-11-20`."""
    return date.fromordinal(_EPOCH_ORDINAL + day).isoformat()


def count_id(day: int, app: str, category: str, name: str) -> str:
    """The id of a count document."""
    return f"{day_name(day)}/{app}/{category}/{name}"


def people_id(day: int, app: str, level: int, scope: str) -> str:
    """The id of a people document."""
    return f"{day_name(day)}/{app}/{level}/{scope}"


def property_id(day: int, app: str, category: str, name: str, key: str) -> str:
    """The id of a property document. The property goes first: it may hold anything but is short."""
    return f"{day_name(day)}/{app}/{category}/{len(key)}:{key}/{name}"


def session_id(day: int, app: str) -> str:
    """The id of a session day document."""
    return f"{day_name(day)}/{app}"


def archived_id(day: int, app: str) -> str:
    """The id of an archived day."""
    return f"{app}/{day_name(day)}"


def pack(values: "array[int]") -> bytes:
    """Little-endian bytes of an array."""
    if sys.byteorder == "big":
        values = array(values.typecode, values)
        values.byteswap()
    return values.tobytes()


def unpack(packed: bytes | None, typecode: str = "I") -> "array[int]":
    """The array that was packed; zeros for none."""
    values = array(typecode)
    if packed is None:
        values.frombytes(bytes(SLOTS * values.itemsize))
        return values
    values.frombytes(packed)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def added(packed: bytes | None, changes: Mapping[int, int], typecode: str = "I") -> bytes:
    """Packed counts with changes by slot; none falls below zero."""
    values = unpack(packed, typecode)
    for slot, change in changes.items():
        values[slot] = max(0, values[slot] + change)
    return pack(values)


def nodes(first: int, last: int) -> list[tuple[int, int, int]]:
    """The fewest sets of people that cover the slots from `first` up to but not including `last`.

    Args:
        first: slot counted from 1970.
        last: the same.

    Returns:
        Triples of level, day, and the group's number in the day.
    """
    found = []
    at = first
    while at < last:
        level = max(
            number for number, width in enumerate(LEVELS) if at % width == 0 and at + width <= last
        )
        width = LEVELS[level]
        found.append((level, at // SLOTS, at % SLOTS // width))
        at += width
    return found
