"""Rows as no code of ours would write them: each field in turn is missing, of another type, NaN,
huge, or of a far-off time."""

import copy
from collections.abc import Collection, Iterator
from typing import Any, Final

from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64

from models.aside import SET_ASIDE
from models.base import Raw

MISSING: Final = object()
DAMAGE: Final[dict[str, Any]] = {
    "missing": MISSING,
    "null": None,
    "text": "x",
    "number": 7,
    "object": {"a": {"b": 1}},
    "array": [[None]],
    "NaN": float("nan"),
    "infinity": float("inf"),
    "huge": Int64(2**63 - 1),
    "least": Int64(-(2**63)),
    "far": DatetimeMS(2**62),
    "long ago": DatetimeMS(-(2**62)),
    "bytes": b"\x01",
    "id": ObjectId("0" * 24),
}
Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The fields of a row, those within its objects and its arrays among them."""
    if path:
        yield path
    if len(path) < 3 and isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    elif len(path) < 3 and isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def damaged(row: Raw, path: Path, kind: str) -> Raw | None:
    """The row with one field amiss; None where it would be none, or the same."""
    found = copy.deepcopy(row)
    inner: Any = found
    for name in path[:-1]:
        inner = inner[name]
    value = DAMAGE[kind]
    if path == ("_id",):
        return None
    if value is MISSING:
        del inner[path[-1]]
        return found
    if type(inner[path[-1]]) is type(value) and kind not in ("huge", "NaN", "infinity"):
        return None
    inner[path[-1]] = value
    return found


def every_damage(row: Raw, *, but: Collection[str]) -> list[tuple[Raw, str]]:
    """The row in every damage of its fields, but of these, and what was done to it."""
    return [
        (found, f"{'.'.join(map(str, path))} {kind}")
        for path in places(row)
        if path[0] not in but
        for kind in DAMAGE
        if (found := damaged(row, path, kind)) is not None
    ]


def set_aside(collection: str) -> float:
    """How often rows of a collection were stepped over, in this process."""
    return float(SET_ASIDE.labels(collection)._value.get())
