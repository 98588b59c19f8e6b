"""What is kept of the former versions of a value, in the value's own row."""

from datetime import datetime
from typing import Final

from bson import ObjectId

from models.app_data import AppData
from models.app_data_updates import NEVER, key_of
from models.base import Raw, now
from models.values import unescape_refs

_STATE: Final = {
    "_id": 0,
    "version": 1,
    "updatedAt": 1,
    "changedBy": 1,
    "bytes": 1,
    "deleted": 1,
    "expiresAt": 1,
}
_LISTED: Final = {
    **_STATE,
    **{f"history.{name}": 1 for name in ("version", "at", "by", "bytes", "deleted")},
}


async def find_versions(user_id: ObjectId, app_id: str, data_key: str) -> list[Raw]:
    """The versions of a value, the newest first, each `{version, at, by, bytes, deleted}`; none
    where it never was.

    The first is what is stored now. The values are left out, and are not read.
    """
    row = await AppData.raw().find_one(key_of(user_id, app_id, data_key), _LISTED)
    if row is None:
        return []
    return [_as_version(row, now()), *reversed(row.get("history", []))]


async def find_version(user_id: ObjectId, app_id: str, data_key: str, version: int) -> Raw | None:
    """One version with its `value`, but where it is a deletion; None where it is not kept."""
    place = key_of(user_id, app_id, data_key)
    wanted = {**_STATE, "value": 1, "escaped": 1}
    if row := await AppData.raw().find_one({**place, "version": version}, wanted):
        return _readable(_as_version(row, now()))
    # else it has become one by now
    former = {"_id": 0, "history": {"$elemMatch": {"version": version}}}
    row = await AppData.raw().find_one(place, former)
    return _readable(row["history"][0]) if row and "history" in row else None


def _as_version(row: Raw, moment: datetime) -> Raw:
    """What is stored, in the form of a former version. What has ended counts as deleted."""
    state = {"version": row["version"], "at": row["updatedAt"], "by": row["changedBy"]}
    if row["deleted"] or row.get("expiresAt", NEVER) <= moment:
        return {**state, "bytes": 0, "deleted": True}
    value: Raw = {name: row[name] for name in ("value", "escaped") if name in row}
    return {**state, "bytes": row["bytes"], "deleted": False, **value}


def _readable(version: Raw) -> Raw:
    if version.pop("escaped", False):
        version["value"] = unescape_refs(version["value"])
    return version
