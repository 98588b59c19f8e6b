"""Rows that cannot be read: a loop over rows steps over them, sets them aside where they are seen,
and goes on."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

import structlog
from prometheus_client import Counter
from pymongo import UpdateOne
from pymongo.errors import WriteError

from models.base import Raw, Stored, now
from models.unreadable import FAULTS, Unreadable

AGAIN_AFTER: Final = timedelta(minutes=1)
"""How long a row that was set aside is left alone."""
ROW_FAULTS: Final = (*FAULTS, WriteError)
"""What reading or changing a row that is amiss may raise."""

D = TypeVar("D", bound=Stored)
SET_ASIDE: Final = Counter(
    "satchel_rows_set_aside",
    "Times that a row was stepped over that cannot be read or changed",
    ["collection"],
)
_log = structlog.get_logger("satchel")


def tell(document: type[Stored], row_id: Any, error: Exception) -> None:
    """Log that a row is set aside, and count it."""
    tell_of(document.collection_name(), row_id, type(error.__cause__ or error).__name__)


def tell_of(collection: str, row_id: Any, fault: str) -> None:
    """Log that a row of a collection cannot be read, and count it."""
    SET_ASIDE.labels(collection).inc()
    _log.error("a row was set aside", collection=collection, row=str(row_id), error=fault)


def told(error: Unreadable) -> str:
    """Log that a row cannot be read that was asked for, and count it; a sentence about it."""
    tell_of(error.collection, error.row_id, type(error.__cause__ or error).__name__)
    return f"what is stored in {error.collection} as {error.row_id} cannot be read"


def is_readable(document: type[Stored], row: Raw) -> bool:
    """Whether a row holds such a document."""
    try:
        document.from_stored(row)
    except ROW_FAULTS:
        return False
    return document.is_sound(row)


def readable(document: type[D], rows: Iterable[Raw]) -> tuple[list[D], list[Any]]:
    """The documents that rows hold, in their order, and the ids of the rows that cannot be read,
    which are told."""
    found, odd = list[D](), list[Any]()
    for row in rows:
        try:
            found.append(document.from_stored(row))
        except ROW_FAULTS as error:
            tell(document, row["_id"], error)
            odd.append(row["_id"])
    return found, odd


class Read(list[D]):
    """Documents that were read, and how many rows were stepped over."""

    def __init__(self, found: Iterable[D], skipped: int) -> None:
        super().__init__(found)
        self.skipped = skipped


def read_all(document: type[D], rows: Iterable[Raw]) -> Read[D]:
    """The documents that rows hold, in their order, without those that cannot be read, which are
    told."""
    found, odd = readable(document, rows)
    return Read(found, len(odd))


async def documents(document: type[D], rows: Iterable[Raw], fields: Mapping[str, Any]) -> list[D]:
    """The documents that rows hold; `fields` are set in those that cannot be read, so that they are
    not found again.

    They are not where somebody else has set them meanwhile.
    """
    read = list(rows)
    found, odd = readable(document, read)
    if odd:
        update = {"$set": {**fields, "updatedAt": now()}}
        writes = [UpdateOne(_as_read(row, fields), update) for row in read if row["_id"] in odd]
        await document.raw().bulk_write(writes, ordered=False)
    return found


def _as_read(row: Raw, fields: Iterable[str]) -> Raw:
    """The filter of a row whose fields are as they were read."""
    return {"_id": row["_id"], **{name: {"$eq": row.get(name)} for name in fields}}


async def put_off(document: Stored, field: str, error: Exception) -> None:
    """Put a document off whose turn failed, by the field that says when it is due, and tell.

    Where somebody else has set that field meanwhile, theirs stands.
    """
    tell(type(document), document.id, error)
    row = {**document.stored(), "_id": document.id}
    await document.raw().update_one(_as_read(row, [field]), {"$set": later(field)})


def counted(field: str) -> Raw:
    """One more than the number in a stored field, 1 where there is none: `$inc` would fail, and
    nobody get on."""
    return {"$add": [{"$cond": [{"$isNumber": f"${field}"}, f"${field}", 0]}, 1]}


def later(field: str) -> Raw:
    """The fields that put a row off whose time is due by this field."""
    return {field: now() + AGAIN_AFTER}
