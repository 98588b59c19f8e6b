"""Which stored events can be counted; queries step over the others and tell them, as the worker
does."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from models.analytics import Analytics
from models.aside import tell
from models.base import Raw

_FIRST_MS: Final = -62_135_596_800_000
_LAST_MS: Final = 253_402_300_799_999
"""The years 1 to 9999."""


def is_moment(value: Any) -> bool:
    """A time in the years that Python knows, be it of the driver's own kind."""
    if isinstance(value, DatetimeMS):
        return _FIRST_MS <= int(value) <= _LAST_MS
    return isinstance(value, datetime)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_CHECKS: Final = {
    "appId": _is_text,
    "eventName": _is_text,
    "eventCategory": _is_text,
    "timestamp": is_moment,
    "receivedAt": is_moment,
}


def is_countable(row: Raw, fields: Iterable[str] | None = None) -> bool:
    """Whether an event says what happened where and when, as every event does that came in by the
    API; as far as these fields go, `receivedAt` only where it is one of them."""
    names = _CHECKS.keys() - {"receivedAt"} if fields is None else _CHECKS.keys() & set(fields)
    return all(_CHECKS[name](row.get(name)) for name in names)


def countable(rows: Iterable[Raw], fields: Mapping[str, Any]) -> list[Raw]:
    """The events that can be counted by the fields that were read; the others are told."""
    checks = [(name, check) for name, check in _CHECKS.items() if fields.get(name)]
    found = []
    for row in rows:
        if all(check(row.get(name)) for name, check in checks):
            found.append(row)
        else:
            tell(Analytics, row.get("_id"), TypeError())
    return found
