"""How rows of app data are read: what is asked for of each, and the envelope that comes of it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from types import NoneType
from typing import Final

from models.base import Raw, now
from models.checked import is_count
from models.values import unescape_refs

_SENT: Final = ("dataKey", "value", "version", "createdAt", "updatedAt", "expiresAt")
_TIMES: Final = frozenset({"createdAt", "updatedAt"})
ENVELOPE: Final = {"_id": 0, **dict.fromkeys([*_SENT, "escaped", "deleted"], 1)}


def enveloped(row: Raw) -> Raw:
    """The envelope that a row of `wanted_fields` is."""
    if row.pop("escaped", False) and "value" in row:
        row["value"] = unescape_refs(row["value"])
    row.pop("deleted", None)
    return row


def wanted_fields(fields: Sequence[str] | None, share: int | None = None) -> Raw:
    """The projection of an envelope; arguments as of `AppData.find_by_user_and_app`."""
    wanted = ENVELOPE if fields is None else _projection(fields)
    return wanted if share is None else _shared(wanted, share)


def _projection(fields: Sequence[str]) -> Raw:
    wanted = {"_id": 0, "dataKey": 1, "version": 1, **dict.fromkeys(fields, 1)}
    return wanted | {"escaped": 1} if "value" in fields else wanted


def _shared(wanted: Raw, share: int) -> Raw:
    """A projection that leaves values of more than `share` bytes out, and says so."""
    if "value" not in wanted:
        return wanted | {"_id": 1, "bytes": {"$literal": 0}, "whole": {"$literal": True}}
    whole = {"$lte": ["$bytes", share]}  # also where no number says how many
    value = {"$cond": [whole, "$value", "$$REMOVE"]}
    return wanted | {"_id": 1, "value": value, "bytes": 1, "whole": whole}


def chosen(envelope: Raw, fields: Sequence[str]) -> Raw:
    """Of an envelope what was asked for."""
    return {
        name: value for name, value in envelope.items() if name in {"dataKey", "version", *fields}
    }


def is_sound(row: Raw, fields: Iterable[str] = _SENT) -> bool:
    """Whether a row can be sent, its value apart; of the times those that were read."""
    return (
        is_count(row.get("version"))
        and isinstance(row.get("dataKey"), str)
        and all(isinstance(row.get(name), datetime) for name in _TIMES.intersection(fields))
        and isinstance(row.get("expiresAt"), (datetime, NoneType))
    )


def is_listed(envelope: Raw, fields: Sequence[str] | None) -> bool:
    """Whether an envelope of a list has what was asked for."""
    wanted = _SENT if fields is None else fields
    return is_sound(envelope, wanted) and ("value" not in wanted or "value" in envelope)


def size_of(row: Raw) -> int:
    """Bytes of a row's value, as they were counted; none where no number says so."""
    size = row.get("bytes", 0)
    return size if isinstance(size, int) else 0


def live(row: Raw | None) -> Raw | None:
    """A row as it is read, None where it is a tombstone or its time is over."""
    if row is None or row["deleted"]:
        return None
    if "expiresAt" in row and row["expiresAt"] <= now():
        return None
    if row["escaped"]:
        row |= {"value": unescape_refs(row["value"]), "escaped": False}
    return row
