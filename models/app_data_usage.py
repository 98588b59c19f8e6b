"""How much apps keep of a person."""

from bson import ObjectId

from models.app_data import AppData
from models.app_data_updates import key_of
from models.base import Raw


async def find_size(user_id: ObjectId, app_id: str, data_key: str) -> int | None:
    """The bytes of a value that is stored and is no tombstone, None where there is none."""
    row = await AppData.raw().find_one(
        {**key_of(user_id, app_id, data_key), "deleted": False}, {"bytes": 1}
    )
    return None if row is None else row["bytes"]


async def usage_of(user_id: ObjectId, app_id: str | None = None) -> list[Raw]:
    """What apps keep of a person: `{appId, keys, bytes, changedAt}` of live values, in the order of
    app ids.

    It is answered from an index alone. Apps of which there are tombstones only are left out.

    Args:
        user_id: whose.
        app_id: this app alone.
    """
    cursor = await AppData.raw().aggregate(usage_pipeline(user_id, app_id))
    return [{"appId": row.pop("_id"), **row} async for row in cursor]


def usage_pipeline(user_id: ObjectId, app_id: str | None) -> list[Raw]:
    """What `usage_of` asks: every field of it is in one index."""
    is_live = {"$eq": ["$deleted", False]}
    return [
        {"$match": {"userId": user_id} | ({} if app_id is None else {"appId": app_id})},
        {
            "$group": {
                "_id": "$appId",
                "keys": {"$sum": {"$cond": [is_live, 1, 0]}},
                "bytes": {"$sum": "$bytes"},
                "changedAt": {"$max": "$changedAt"},
            }
        },
        {"$match": {"keys": {"$gt": 0}}},
        {"$sort": {"_id": 1}},
    ]
