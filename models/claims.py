"""Claiming a row: the first that is due and that no transaction holds."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pymongo
from pymongo import ReturnDocument
from pymongo.errors import PyMongoError

from models.base import Raw, Stored

_PATIENCE: Final = 2.0
_LEFT_ALONE: Final = 10.0
_HELD: Final[dict[Any, float]] = {}
"""Rows that a transaction was seen to hold, and until when, by the monotonic clock, they are left
alone."""


async def claim_first(
    document: type[Stored],
    where: Mapping[str, Any],
    by: str,
    update: Mapping[str, Any] | Sequence[Raw],
) -> Raw | None:
    """Update the first row that matches, and give it as it is then; None where none does.

    A row that a transaction has written is waited for a moment and then left alone for some
    seconds: the transaction of a process that was killed stays open for a minute, and nobody else's
        rows are to wait for so long.

    Args:
        document: of which collection.
        where: which rows are due; names no `_id`.
        by: the field by which they are in order.
        update: what makes a row claimed.
    """
    while True:
        query = {**where, "_id": {"$nin": _left_alone()}}
        try:
            with pymongo.timeout(_PATIENCE):
                row: Raw | None = await document.raw().find_one_and_update(
                    query, update, sort=[(by, 1)], return_document=ReturnDocument.AFTER
                )
                return row
        except PyMongoError as error:
            if not error.timeout:
                raise
            await _leave_alone(document, query, by)


def _left_alone() -> list[Any]:
    moment = time.monotonic()
    for row_id in [row_id for row_id, until in _HELD.items() if until <= moment]:
        del _HELD[row_id]
    return list(_HELD)


async def _leave_alone(document: type[Stored], query: Mapping[str, Any], by: str) -> None:
    """Leave the first row alone for a while; to read it, nobody has to wait."""
    row = await document.raw().find_one(query, {"_id": 1}, sort=[(by, 1)])
    if row is not None:
        _HELD[row["_id"]] = time.monotonic() + _LEFT_ALONE
