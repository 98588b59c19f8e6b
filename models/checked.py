"""Rows of figures, which are read as they are, without making documents of them: what each field
must be to be counted with. A row that is amiss is stepped over and told."""

from array import array
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from bson import ObjectId
from pyroaring import BitMap

from models.aside import tell
from models.base import Raw, Session, Stored

MOST: Final = 2**53
"""No count is larger: sums of many are still integers of 64 bits."""
Check = Callable[[Any], bool]


class Checked(Stored):
    """Rows of which queries and the worker read single fields."""

    CHECKS: ClassVar[Mapping[str, Check]] = {}
    """By the stored name of a field, whether a value may be counted with."""

    @classmethod
    def is_sound(cls, row: Raw, fields: Iterable[str] | None = None) -> bool:
        """Whether a row may be counted with, as far as these fields go; None for all of them."""
        names = cls.CHECKS.keys() if fields is None else cls.CHECKS.keys() & fields
        return all(cls.CHECKS[name](row.get(name)) for name in names)

    @classmethod
    def sound(cls, rows: Iterable[Raw], fields: Iterable[str] | None = None) -> list[Raw]:
        """The rows that may be counted with; the others are told."""
        found, names = [], None if fields is None else frozenset(fields)
        for row in rows:
            if cls.is_sound(row, names):
                found.append(row)
            else:
                tell(cls, row.get("_id"), TypeError())
        return found

    @classmethod
    async def fetch(
        cls, ids: Iterable[Any], session: Session = None, fields: Iterable[str] | None = None
    ) -> dict[Any, Raw]:
        """As of any document, without the rows that cannot be counted with."""
        names = None if fields is None else list(fields)
        rows = await super().fetch(ids, session, names)
        return {row["_id"]: row for row in cls.sound(rows.values(), names)}


def is_text(value: Any) -> bool:
    """Text."""
    return isinstance(value, str)


def is_time(value: Any) -> bool:
    """A time that Python knows."""
    return isinstance(value, datetime)


def is_count(value: Any) -> bool:
    """A number of things."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST


def is_stamp(value: Any) -> bool:
    """An id, or none."""
    return value is None or isinstance(value, ObjectId)


def packs(size: int, typecode: str = "I") -> Check:
    """So many numbers, packed; none of them so large that it counts nothing."""
    length = size * array(typecode).itemsize

    def check(value: Any) -> bool:
        if not isinstance(value, bytes) or len(value) != length:
            return False
        return typecode == "I" or are_counts(value)

    return check


def are_counts(packed: Any) -> bool:
    """Numbers of 64 bits, little-endian, none of them too large: the highest byte of each is 0, and
    little of the one below is used."""
    if not isinstance(packed, bytes) or len(packed) % 8:
        return False
    return not any(packed[7::8]) and max(packed[6::8], default=0) < 32


def is_set(packed: Any) -> bool:
    """A Roaring bitmap."""
    try:
        BitMap.deserialize(packed)
    except (ValueError, TypeError, LookupError):
        return False
    return True


def are_sets(value: Any) -> bool:
    """Roaring bitmaps by slot group."""
    return isinstance(value, dict) and all(
        group.isdecimal() and len(group) < 3 and is_set(packed) for group, packed in value.items()
    )


def are_slots(packed: Any) -> bool:
    """Slots with counts, as `pack_slots` packs them: the slot, and groups of seven bits."""
    if not isinstance(packed, bytes):
        return False
    bits: int | None = None
    for byte in packed:
        if bits is None:
            if byte >= 96:
                return False
            bits = 0
        elif byte & 0x80 and bits < 49:
            bits += 7
        elif byte & 0x80:
            return False
        else:
            bits = None
    return bits is None
