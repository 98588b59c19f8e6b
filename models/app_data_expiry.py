"""Values of app data whose time is over, and what there is of all of them."""

from datetime import datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo.errors import WriteError

from models import aside
from models.app import App
from models.app_data import AppData
from models.app_data_updates import tombstone_update
from models.base import Raw, now

_AGAIN: Final = timedelta(hours=1)


async def expire_due(limit: int) -> int:
    """Turn values whose time is over into tombstones, all whose apps keep as much history by
    one command.

    Those that cannot be are set aside.

    Args:
        limit: how many at most.

    Returns:
        How many were dealt with; less than `limit` where no more are due.
    """
    moment = now()
    where = {"expiresAt": {"$lte": moment}, "setAsideUntil": {"$not": {"$gt": moment}}}
    rows = (
        await AppData.raw()
        .find(where, {"_id": 1, "appId": 1})
        .sort("expiresAt", 1)
        .limit(limit)
        .to_list()
    )
    histories = await App.find_histories({row["appId"] for row in rows})
    alike: dict[int, list[ObjectId]] = {}
    for row in rows:
        alike.setdefault(histories.get(row["appId"], 0), []).append(row["_id"])
    for history, ids in alike.items():
        await _expire(ids, moment, history)
    return len(rows)


async def next_expiry() -> datetime | None:
    """When the next value expires, but those that were set aside; None where none does."""
    return await AppData.earliest("expiresAt", {"setAsideUntil": {"$not": {"$gt": now()}}})


async def _expire(ids: list[ObjectId], moment: datetime, history: int) -> None:
    """Make tombstones of those of these values that are still due; halves find the ones of
    which none can be made.

    A value that was written anew meanwhile is due only if its new time is over as well.
    """
    if not ids:
        return
    due = {"expiresAt": {"$lte": moment}}
    try:
        update = tombstone_update("expiry", moment, history)
        await AppData.raw().update_many({"_id": {"$in": ids}, **due}, update)
    except WriteError as error:
        if len(ids) > 1:
            await _expire(ids[: len(ids) // 2], moment, history)
            await _expire(ids[len(ids) // 2 :], moment, history)
            return
        aside.tell(AppData, ids[0], error)
        until = {"$set": {"setAsideUntil": moment + _AGAIN}}
        await AppData.raw().update_one({"_id": ids[0], **due}, until)


async def version_stats() -> list[Raw]:
    """Per app: keys, tombstones, bytes, mean and largest version."""
    pipeline: list[dict[str, Any]] = [
        {
            "$group": {
                "_id": "$appId",
                "keys": {"$sum": {"$cond": ["$deleted", 0, 1]}},
                "tombstones": {"$sum": {"$cond": ["$deleted", 1, 0]}},
                "bytes": {"$sum": "$bytes"},
                "meanVersion": {"$avg": "$version"},
                "maxVersion": {"$max": "$version"},
            }
        },
        {"$sort": {"bytes": -1}},
    ]
    cursor = await AppData.raw().aggregate(pipeline)
    return [{"appId": row.pop("_id"), **row} async for row in cursor]
