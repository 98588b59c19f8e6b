"""Values of many places at once."""

from collections.abc import Sequence

from bson import ObjectId

from models.app_data import VALUE, AppData
from models.app_data_rows import live
from models.base import Raw

Place = tuple[ObjectId, str, str]
"""User, app and key."""


def among(places: Sequence[Place]) -> Raw:
    """The filter of the rows of exact places: one branch for each user's app."""
    keys: dict[tuple[ObjectId, str], list[str]] = {}
    for user_id, app_id, data_key in places:
        keys.setdefault((user_id, app_id), []).append(data_key)
    branches = [
        {"userId": user_id, "appId": app_id, "dataKey": {"$in": names}}
        for (user_id, app_id), names in keys.items()
    ]
    return branches[0] if len(branches) == 1 else {"$or": branches}


async def load_values(places: Sequence[Place]) -> dict[Place, Raw]:
    """The live values of exact places by one query, each as `find_by_user_app_and_key` gives it."""
    if len(places) == 1:
        row = await AppData.find_by_user_app_and_key(*places[0])
        return {} if row is None else {places[0]: row}
    wanted = VALUE | {"userId": 1, "appId": 1, "dataKey": 1}
    found: dict[Place, Raw] = {}
    async for row in AppData.raw().find(among(places), wanted, batch_size=len(places) + 1):
        if live(row) is not None:
            found[row["userId"], row["appId"], row["dataKey"]] = row
    return found
