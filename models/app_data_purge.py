"""Tombstones that are to be forgotten: which there are, and their removal."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bson import ObjectId
from bson import Timestamp as ClusterTime

from models.app_data import AppData
from models.base import Raw

_FIELDS = {"userId": 1, "version": 1}


@dataclass(frozen=True, slots=True)
class Old:
    """Tombstones of one app with stamps before a moment: their `_id`, and the largest version of
    each user."""

    app_id: str
    before: ClusterTime
    ids: Sequence[ObjectId]
    versions: Mapping[ObjectId, int]


async def next_app(after: str) -> str | None:
    """The first app after this id that has tombstones; None where there is none."""
    where: Raw = {"deleted": True, "appId": {"$gt": after}}
    row = await AppData.raw().find_one(
        where, {"_id": 0, "appId": 1}, sort=[("appId", 1), ("changedAt", 1)]
    )
    return None if row is None else str(row["appId"])


async def find_old(app_id: str, before: ClusterTime, limit: int) -> Old:
    """The oldest tombstones of an app with stamps before a moment, `limit` at most."""
    where: Raw = {"deleted": True, "appId": app_id, "changedAt": {"$lt": before}}
    rows = await AppData.raw().find(where, _FIELDS).sort("changedAt", 1).limit(limit).to_list()
    versions: dict[ObjectId, int] = {}
    for row in rows:
        versions[row["userId"]] = max(row["version"], versions.get(row["userId"], 0))
    return Old(app_id, before, [row["_id"] for row in rows], versions)


async def remove(old: Old, ids: Collection[ObjectId]) -> int:
    """Remove those of these tombstones that are still as they were found. Returns how many."""
    where: Raw = {"_id": {"$in": list(ids)}, "deleted": True, "changedAt": {"$lt": old.before}}
    return (await AppData.raw().delete_many(where)).deleted_count
