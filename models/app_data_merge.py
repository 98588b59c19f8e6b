"""App data of two people who turn out to be one: what both have, and how values become the
other's."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bson import ObjectId, encode

from models.app import App
from models.app_data import AppData
from models.app_data_queries import of_another
from models.app_data_updates import NEVER, kept, key_of, unexpired
from models.base import Raw, Session, now
from models.user import User

KIND: Final = "appData"
_KNOWN: Final = {"appId": 1, "dataKey": 1, "version": 1}
_TAKEN: Final = ("value", "expiresAt", "queryKeys", "changedBy")


async def find_conflicts(source: ObjectId, target: ObjectId, limit: int) -> list[Raw]:
    """The keys under which both have a live value, and not the same: `{appId, dataKey}`, by one
    query."""
    live: Raw = {"deleted": False, **unexpired(now())}
    same = [{"$eq": ["$appId", "$$app"]}, {"$eq": ["$dataKey", "$$key"]}]
    other = {"$expr": {"$and": [*same, {"$ne": ["$value", "$$value"]}]}}
    pipeline: list[Raw] = [
        {"$match": {"userId": source, **live}},
        {
            "$lookup": {
                "from": AppData.collection_name(),
                "let": {"app": "$appId", "key": "$dataKey", "value": "$value"},
                "pipeline": [
                    {"$match": {"userId": target, **live, **other}},
                    {"$project": {"_id": 1}},
                ],
                "as": "theirs",
            }
        },
        {"$match": {"theirs.0": {"$exists": True}}},
        {"$limit": limit},
        {"$project": {"_id": 0, "appId": 1, "dataKey": 1}},
    ]
    return await (await AppData.raw().aggregate(pipeline)).to_list()


async def carry(
    ids: Sequence[ObjectId],
    source: ObjectId,
    target: ObjectId,
    keep: Mapping[str, Any],
    session: Session,
) -> tuple[int, int]:
    """Make values and tombstones of the source the target's, each as a new version of theirs.

    Where the target has the key, too: a live value goes before none, then what `keep` says, and
    without it the one that was written later. The version is beyond both.

    Args:
        ids: of rows.
        source: who was merged.
        target: into whom.
        keep: whose is kept, under `KIND`.
        session: of the transaction.

    Returns:
        How many were moved, and how many went since the target's is kept.

    Raises:
        pymongo.errors.DuplicateKeyError: the target has got one of the keys meanwhile.
    """
    where = {"_id": {"$in": list(ids)}, "userId": source}
    rows = await AppData.raw().find(where, _KNOWN, session=session).to_list()
    theirs = await _places_of(target, rows, session)
    free = [row["_id"] for row in rows if (row["appId"], row["dataKey"]) not in theirs]
    await _move(free, target, session)
    moved = len(free)
    for row in rows:
        if (known := theirs.get((row["appId"], row["dataKey"]))) is not None:
            moved += await _settle(row["_id"], known, keep.get(KIND), session)
    return moved, len(rows) - moved


async def _places_of(
    user_id: ObjectId, rows: Sequence[Raw], session: Session
) -> dict[tuple[str, str], ObjectId]:
    """Which of the same keys this user has: (app, key) -> the row."""
    by_app: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_app[row["appId"]].append(row["dataKey"])
    found = {}
    for app_id, names in by_app.items():
        where: Raw = {"userId": user_id, "appId": app_id, "dataKey": {"$in": names}}
        async for row in AppData.raw().find(where, _KNOWN, session=session):
            found[(row["appId"], row["dataKey"])] = row["_id"]
    return found


async def _move(ids: list[ObjectId], target: ObjectId, session: Session) -> None:
    """Rows of keys that the target does not have; what the target once had of them is below the
    floor."""
    if not ids:
        return
    user = await User.raw().find_one({"_id": target}, {"versionFloor": 1}, session=session)
    floor = int((user or {}).get("versionFloor") or 0)
    version = {"$add": [{"$max": ["$version", floor]}, 1]}
    fields: Raw = {"userId": target, "version": version, "updatedAt": now()}
    fields |= {"changedAt": "$$CLUSTER_TIME", "queryKeys": of_another(target)}
    await AppData.raw().update_many({"_id": {"$in": ids}}, [{"$set": fields}], session=session)


async def _settle(
    mine_id: ObjectId, theirs_id: ObjectId, keep: str | None, session: Session
) -> int:
    """Make one of two rows of a key, which is the target's row: 1 where it has the source's value
    now, else 0."""
    read = AppData.raw().find_one
    mine = await read({"_id": mine_id}, session=session)
    theirs = await read({"_id": theirs_id}, session=session)
    if mine is None or theirs is None:
        return 0
    taken = _wins(mine, theirs, keep, now())
    version = max(mine["version"], theirs["version"]) + 1
    fields: Raw = {"version": version, "updatedAt": now(), "changedAt": "$$CLUSTER_TIME"}
    await AppData.raw().delete_one({"_id": mine_id}, session=session)
    if taken:
        history = (await App.find_histories([mine["appId"]])).get(mine["appId"], 0)
        update = kept({**_content(mine), **fields}, history)
        update.append({"$set": {"queryKeys": of_another(theirs["userId"])}})
    else:
        update = [{"$set": fields}]
    if taken or theirs["version"] <= mine["version"]:
        place = key_of(theirs["userId"], theirs["appId"], theirs["dataKey"])
        await AppData.raw().update_one({**place, "_id": theirs_id}, update, session=session)
    return int(taken)


def _wins(mine: Raw, theirs: Raw, keep: str | None, moment: datetime) -> bool:
    """Whether the source's row is what is kept."""
    if not (_lives(mine, moment) and _lives(theirs, moment)):
        return _lives(mine, moment)
    if encode({"value": mine.get("value")}) == encode({"value": theirs.get("value")}):
        return False
    return keep == "source" if keep else bool(mine["changedAt"] > theirs["changedAt"])


def _lives(row: Raw, moment: datetime) -> bool:
    return not row["deleted"] and row.get("expiresAt", NEVER) > moment


def _content(row: Raw) -> Raw:
    """What a row says, as a pipeline sets it."""
    taken: Raw = {name: {"$literal": row[name]} if name in row else "$$REMOVE" for name in _TAKEN}
    state = {"escaped": row.get("escaped", False), "bytes": row.get("bytes", 0)}
    return {**taken, **state, "deleted": False, "setAsideUntil": "$$REMOVE"}
