"""All that an app has stored, of whomever, in the order of ids."""

from collections.abc import AsyncIterator
from typing import Final

from bson import ObjectId

from models.app_data import AppData
from models.app_data_updates import NEVER
from models.base import Raw, now
from models.values import unescape_refs

_SHOWN: Final = {"userId": 1, "dataKey": 1, "version": 1, "bytes": 1, "value": 1}
_READ: Final = {**_SHOWN, **dict.fromkeys(("deleted", "escaped", "expiresAt"), 1)}
_BATCH: Final = 20


async def scan_app(app_id: str, after: ObjectId | None, limit: int) -> AsyncIterator[Raw]:
    """Rows of an app behind an id, a few in memory at a time; those without `value` are tombstones
    or have ended."""
    where = {"appId": app_id} | ({} if after is None else {"_id": {"$gt": after}})
    moment = now()
    async for row in (
        AppData.raw().find(where, _READ, batch_size=_BATCH).sort("_id", 1).limit(limit)
    ):
        if row["deleted"] or row.get("expiresAt", NEVER) <= moment:
            row.pop("value", None)
        elif row["escaped"]:
            row["value"] = unescape_refs(row["value"])
        yield row
