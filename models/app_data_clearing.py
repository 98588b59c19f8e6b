"""Many values of one person in one app at once: deleted by the beginning of their keys, or
forgotten altogether."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bson import ObjectId
from bson import Timestamp as ClusterTime

from models.activity import Activity
from models.app_data import AppData
from models.app_data_updates import tombstone_update
from models.base import Raw, now

BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Clearing:
    """What is to be cleared.

    Attributes:
        user_id: whose.
        app_id: which app's.
        prefix: only keys that start so.
        forget: take the former versions as well, and the activity.
        by: who asked.
        at: when.
        until: the cluster time of then: what is written later stays.
        history: how many former versions the app keeps.
    """

    user_id: ObjectId
    app_id: str
    prefix: str
    forget: bool
    by: str
    at: datetime
    until: ClusterTime
    history: int = 0


async def bury(what: Clearing, after: str) -> tuple[int, str | None]:
    """Make tombstones of the next values, in the order of their keys, all by one command.

    Args:
        what: is to be cleared.
        after: the key to go on behind; `""` to begin.

    Returns:
        How many there were, and the key to go on behind; None at the end.
    """
    keys: Raw = {"$gte": what.prefix, "$lt": what.prefix + "\x7f", "$gt": after}
    where: Raw = {"userId": what.user_id, "appId": what.app_id, "dataKey": keys}
    if not what.forget:
        where["deleted"] = False
    rows = await AppData.raw().find(where, {"dataKey": 1}).sort("dataKey", 1).limit(BATCH).to_list()
    these: Raw = {"_id": {"$in": [row["_id"] for row in rows]}}
    live = {**these, "deleted": False, "changedAt": {"$lte": what.until}}
    update = tombstone_update(what.by, now(), 0 if what.forget else what.history)
    buried = (await AppData.raw().update_many(live, update)).modified_count if rows else 0
    if rows and what.forget:
        former = {**these, "deleted": True, "history": {"$exists": True}}
        await AppData.raw().update_many(former, {"$unset": {"history": ""}})
    return buried, rows[-1]["dataKey"] if len(rows) == BATCH else None


async def forget_activity(what: Clearing) -> int:
    """Delete the next activities in the app. Returns how many; less than `BATCH` at the end."""
    where = {"userId": what.user_id, "appId": what.app_id, "createdAt": {"$lte": what.at}}
    ids = [row["_id"] async for row in Activity.raw().find(where, {"_id": 1}).limit(BATCH)]
    return (await Activity.raw().delete_many({"_id": {"$in": ids}})).deleted_count if ids else 0


async def count_kept(user_id: ObjectId, app_id: str) -> dict[str, int]:
    """How much an app keeps of a person, per collection: live values, and activities."""
    place = {"userId": user_id, "appId": app_id}
    values = await AppData.raw().count_documents({**place, "deleted": False})
    return {"appdata": values, "activities": await Activity.raw().count_documents(place)}
