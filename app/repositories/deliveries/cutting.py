"""A large payload, cut to what can be kept: read in one pass, in memory that does not grow with it.

What tells of the repository is kept before all else. Lists keep their first members, long texts
their beginnings.
"""

from collections.abc import Iterator
from typing import Any, Final

import ijson
import orjson

from app.errors import Invalid, MalformedJson
from app.web.body import parse_json
from models.values import Json

MOST_MEMBERS: Final = 20
"""Of a list."""
MOST_CHARACTERS: Final = 2048
"""Of a text."""
_ABOUT_REPOSITORY: Final = frozenset(
    {
        "action",
        "changes",
        "event_name",
        "object_kind",
        "old_path_with_namespace",
        "path_with_namespace",
    }
    | {"previous_workspace", "project", "project_id", "ref", "repository"}
)
_FOR_REPOSITORY: Final = 64 * 1024
_FOR_THE_REST: Final = 256 * 1024
_OVERHEAD: Final = 16
"""Bytes that count for a value, whatever it is."""
_DEEPEST: Final = 32
_LONGEST_NAME: Final = 256
_BUFFER: Final = 64 * 1024

_Events = Iterator[tuple[str, Any]]


class Parts:
    """A body in the parts in which it came, each let go as soon as it is read: the list is empty
    then."""

    def __init__(self, parts: list[bytes]) -> None:
        parts.reverse()
        self._parts = parts

    def read(self, size: int = -1) -> bytes:
        """The next part, of whatever size, so that nothing is copied; nothing at the end, or where
        nothing is asked."""
        return self._parts.pop() if self._parts and size else b""


class _Allowance:
    """How many bytes may still be kept."""

    def __init__(self, left: int) -> None:
        self.left = left

    def takes(self, size: int) -> bool:
        """Whether a value of this size is kept; then it counts."""
        if size + _OVERHEAD > self.left:
            return False
        self.left -= size + _OVERHEAD
        return True


def cut(parts: list[bytes]) -> dict[str, Json]:
    """What is kept of a JSON object.

    Args:
        parts: its bytes, which are let go.

    Raises:
        MalformedJson: it is no JSON, or holds a number that is too large.
        Invalid: it is no object.
    """
    events: _Events = ijson.basic_parse(Parts(parts), buf_size=_BUFFER, use_float=True)
    try:
        first, _ = next(events)
        kept = _top(events) if first == "start_map" else None
        for _ in events:
            pass  # what follows is looked at, since half a body is no JSON
    except ijson.JSONError:
        raise MalformedJson("the body is not valid JSON") from None
    if kept is None:
        raise Invalid.field("", "malformed", "a delivery is a JSON object")
    checked: Any = parse_json(orjson.dumps(kept))
    return dict(checked)


def _top(events: _Events) -> dict[str, Json]:
    needed, rest = _Allowance(_FOR_REPOSITORY), _Allowance(_FOR_THE_REST)
    found: dict[str, Json] = {}
    for event, name in events:
        if event == "end_map":
            break
        _member(events, found, name, needed if name in _ABOUT_REPOSITORY else rest, 1)
    return found


def _member(
    events: _Events, found: dict[str, Json], name: str, allowance: _Allowance, depth: int
) -> None:
    event, value = next(events)
    if len(name) > _LONGEST_NAME or "\0" in name or not allowance.takes(len(name)):
        _skip(events, event)
    else:
        found[name] = _value(events, event, value, allowance, depth)


def _value(events: _Events, event: str, value: Any, allowance: _Allowance, depth: int) -> Json:
    if event not in ("start_map", "start_array"):
        return _scalar(value, allowance)
    if depth >= _DEEPEST:
        _skip(events, event)
        return None
    return (
        _map(events, allowance, depth) if event == "start_map" else _array(events, allowance, depth)
    )


def _map(events: _Events, allowance: _Allowance, depth: int) -> Json:
    found: dict[str, Json] = {}
    for event, name in events:
        if event == "end_map":
            break
        _member(events, found, name, allowance, depth + 1)
    return found


def _array(events: _Events, allowance: _Allowance, depth: int) -> Json:
    found: list[Json] = []
    for event, value in events:
        if event == "end_array":
            break
        if len(found) < MOST_MEMBERS and allowance.takes(0):
            found.append(_value(events, event, value, allowance, depth + 1))
        else:
            _skip(events, event)
    return found


def _scalar(value: Any, allowance: _Allowance) -> Json:
    """A text, number, boolean or null; null where there is no room for a text."""
    if isinstance(value, str):
        kept = value[:MOST_CHARACTERS]
        return kept if allowance.takes(len(kept.encode())) else None
    return value  # type: ignore[no-any-return]


def _skip(events: _Events, event: str) -> None:
    """Go past a value that has begun."""
    open_ones = int(event in ("start_map", "start_array"))
    while open_ones:
        event, _ = next(events)
        open_ones += (event in ("start_map", "start_array")) - (event in ("end_map", "end_array"))
