"""Every row of a collection, in the order of the ids, whatever types these have."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import bson

from models.base import Raw, Stored


async def in_order(
    document: type[Stored], fields: Mapping[str, int], after: Any, size: int
) -> AsyncIterator[list[Raw]]:
    """Rows after an id (None: all), batch by batch.

    By the bounds of the index, which go on from one type to the next: a filter such as `$gt` meets
    ids of the same type alone. MaxKey, which is no key but the end of them, is not met.
    """
    last = None if after is None else {"_id": after}
    while True:
        found = document.raw().find({}, dict(fields)).sort("_id", 1).hint([("_id", 1)])
        if last is not None:
            found = found.min([("_id", last["_id"])])
        rows: list[Raw] = await found.limit(size + 1).to_list()
        if last is not None and rows and _is_same(rows[0]["_id"], last["_id"]):
            rows = rows[1:]
        if not rows:
            return
        yield rows
        last = {"_id": rows[-1]["_id"]}


def _is_same(one: Any, other: Any) -> bool:
    """In the database: there NaN is itself, and 1 is not true."""
    return bson.encode({"": one}) == bson.encode({"": other})
