"""People in the rows of a table: which column is which part of a line."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from models.auth_identity import EMAIL, PHONE
from models.base import Raw
from models.values import has_long_number

_USER: Final = ("email", "phone", "name", "valuUserId", "merkosUserId", "role", "status")
_LISTS: Final = ("roles", "permissions")
_SEPARATOR: Final = ";"
_REPEATED: Final = ("externalId:", "identity:")
"""Several columns may be the same one of these."""
FIELDS: Final = (
    *(*_USER, *_LISTS, "profile.…", "preferences.…"),
    *("identity:PROVIDER", "externalId:APP", "appData:APP:KEY"),
)
"""What a column may be."""


class UnknownFieldError(ValueError):
    """A mapping names a field that there is not, or one twice."""


def is_field(name: str) -> bool:
    """Whether a column may be this."""
    head, _, rest = name.partition(":")
    if head == "externalId":
        return bool(rest)
    if head == "identity":  # mailboxes and phones are columns that are vouched for
        return bool(rest) and rest not in (EMAIL, PHONE)
    if head == "appData":
        return all(rest.partition(":")[::2])
    part, _, path = name.partition(".")
    return name in (*_USER, *_LISTS) or (part in ("profile", "preferences") and bool(path))


def columns_of(names: Iterable[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Which columns are which fields: as the mapping says, else those that are named like one.

    Raises:
        UnknownFieldError: the mapping names a field or a column that there is not, or two columns
            would be one field, or one of them a part of the other.
    """
    names = list(names)
    for column, field in mapping.items():
        if column not in names:
            raise UnknownFieldError(f"the table has no column {column!r}")
        if not is_field(field):
            raise UnknownFieldError(f"{field!r} is none of {', '.join(FIELDS)}")
    chosen = {name: mapping.get(name, name) for name in names}
    columns = {column: field for column, field in chosen.items() if is_field(field)}
    _see_that_none_meet(names, columns)
    return columns


def _see_that_none_meet(names: list[str], columns: Mapping[str, str]) -> None:
    """Of two columns that are one field the first would be lost without a word."""
    for column in columns:
        if names.count(column) > 1:
            raise UnknownFieldError(f"two columns of the table are called {column!r}")
    fields = [each for each in columns.values() if not each.startswith(_REPEATED)]
    for field, count in Counter(fields).items():
        if count > 1:
            raise UnknownFieldError(f"two columns are {field!r}")
        if "." in field and (whole := [each for each in fields if field.startswith(f"{each}.")]):
            raise UnknownFieldError(f"{field!r} is a part of {whole[0]!r}, which is a column too")


def line_of(row: Mapping[str, str], columns: Mapping[str, str], verified: Iterable[str]) -> Raw:
    """The line that a row tells; empty cells tell nothing.

    Args:
        row: by column.
        columns: column -> field.
        verified: of `email` and `phone` what is vouched for, where it is told.
    """
    line: Raw = {}
    for column, field in columns.items():
        cell = (row.get(column) or "").strip()
        if cell:
            _put(line, field, cell)
    vouched = [name for name in verified if name in line.get("user", {})]
    return {**line, "verified": vouched} if vouched else line


def _put(line: Raw, field: str, cell: str) -> None:
    head, _, rest = field.partition(":")
    if head == "identity":
        line.setdefault("identities", []).append({"provider": rest, "providerId": cell})
    elif head == "externalId":
        line.setdefault("externalIds", []).append({"appId": rest, "externalId": cell})
    elif head == "appData":
        app_id, _, key = rest.partition(":")
        value = {"appId": app_id, "dataKey": key, "value": _json(cell)}
        line.setdefault("appData", []).append(value)
    elif field in _LISTS:
        found = [each.strip() for each in cell.split(_SEPARATOR) if each.strip()]
        line.setdefault("user", {})[field] = found
    elif field in _USER:
        line.setdefault("user", {})[field] = cell
    else:
        _put_path(line, field.split("."), cell)


def _put_path(line: Raw, path: list[str], cell: str) -> None:
    """Put a cell to where `profile.avatar.url` leads: true, false, lists and objects as such, all
    else as text."""
    place: Any = line
    for part in path[:-1]:
        place = place.setdefault(part, {})
    value = _json(cell)
    place[path[-1]] = value if isinstance(value, (bool, list, dict)) else cell


def _json(cell: str) -> Any:
    """The JSON value that a cell spells, else its text; integers as they are, so that those that
    are too large are found out."""
    try:
        return json.loads(cell) if has_long_number(cell.encode()) else orjson.loads(cell)
    except ValueError:
        return cell
