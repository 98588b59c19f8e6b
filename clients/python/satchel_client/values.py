"""JSON values, how two versions of one are merged, and the value that is none."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

Json = Any
"""Any JSON value; `None` is JSON's null."""


class Missing:
    """There is no value: the type of `MISSING`, which is not the same as the value null."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing()
OnConflict = Callable[[Json | Missing, Json | Missing, Json | Missing, str], Json | Missing]
"""Decides what becomes of a value that was changed here and elsewhere: `(base, mine, theirs, key)`
to what is to be.

Each is `MISSING` where there is, or is to be, no value.
"""
OnConflictAwaited = Callable[
    [Json | Missing, Json | Missing, Json | Missing, str], Awaitable[Json | Missing]
]
"""The same by a coroutine function."""


def equal(one: Json | Missing, other: Json | Missing) -> bool:
    """Whether two values are the same JSON: `1` and `True` are not, `1` and `1.0` are."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def merge_patched(value: Json | Missing, patch: Json) -> Json:
    """A value with a JSON Merge Patch applied to it (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            result.pop(name, None)
        else:
            result[name] = merge_patched(result.get(name, MISSING), part)
    return result


def merge_fields(
    base: Json | Missing, mine: Json | Missing, theirs: Json | Missing, key: str = ""
) -> Json | Missing:
    """The three-way merge by field, for `on_conflict`.

    What only one side changed is as that side has it, what both changed is as it is stored, and
    where one side deleted what the other changed, what was changed stays.
    """
    if equal(mine, base):
        return theirs
    if equal(theirs, base):
        return mine
    if mine is MISSING or theirs is MISSING:
        return theirs if mine is MISSING else mine
    if not isinstance(mine, dict) or not isinstance(theirs, dict):
        return theirs
    before = cast("dict[str, Json]", base) if isinstance(base, dict) else {}
    merged = {}
    for name in [*theirs, *(name for name in mine if name not in theirs)]:
        field = merge_fields(
            before.get(name, MISSING), mine.get(name, MISSING), theirs.get(name, MISSING)
        )
        if field is not MISSING:
            merged[name] = field
    return merged
