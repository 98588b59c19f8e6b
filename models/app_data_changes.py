"""What has changed of an app's data of a user: reads of one majority-committed snapshot each
(docs/sync.md)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId
from bson import Timestamp as ClusterTime
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.errors import AutoReconnect, OperationFailure

from models import app_data_rows
from models.app_data import AppData
from models.app_data_updates import unexpired
from models.base import Raw, now
from models.checked import is_count

_DECODED: Final = CodecOptions[Raw](
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_FIELDS: Final = (
    "dataKey",
    "version",
    "changedAt",
    "deleted",
    "createdAt",
    "updatedAt",
    "expiresAt",
    "bytes",
)
_TOO_OLD: Final = frozenset({239, 246})
"""SnapshotTooOld and SnapshotUnavailable: the database keeps its past for five minutes."""

Position = tuple[ClusterTime, ObjectId]
_SOUND_IF_ANY: Final = {"changedAt": ClusterTime, "escaped": bool}


def is_sound(row: Raw) -> bool:
    """Whether a row that was found here can be sent, its value apart, and recognised again."""
    return (
        app_data_rows.is_sound(row)
        and isinstance(row["_id"], ObjectId)
        and isinstance(row.get("deleted"), bool)
        and all(isinstance(row[name], kind) for name, kind in _SOUND_IF_ANY.items() if name in row)
    )


class SnapshotGone(Exception):
    """The database cannot show that moment any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of one snapshot.

    Attributes:
        rows: in the order that was asked for.
        at: the snapshot's time: it shows what was committed up to then, and nothing that could be
            rolled back.
        is_cut: whether there are more, for which one answer of the database has no room.
    """

    rows: list[Raw]
    at: ClusterTime
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Whose values of which app, and which of them."""

    user_id: ObjectId
    app_id: str
    prefix: str = ""

    def where(self) -> Raw:
        """The filter of all of them; the prefix, if any, is looked at last."""
        return {"userId": self.user_id, "appId": self.app_id}

    def begins(self) -> Raw:
        """The filter of the prefix, such that no index of keys is taken for it instead of that of
        the stamps."""
        found = {"$indexOfBytes": ["$dataKey", {"$literal": self.prefix}]}
        return {"$expr": {"$eq": [found, 0]}} if self.prefix else {}

    def keys(self, after: str | None = None) -> Raw:
        """The range of the keys with the prefix, those after one where it is given."""
        span = {"$gte": self.prefix, "$lt": self.prefix + "\x7f"}
        return span if after is None else {**span, "$gt": after}


async def find_changed(
    source: Source,
    since: ClusterTime,
    after: Position | None = None,
    *,
    fresh: ClusterTime,
    share: int,
    limit: int,
    at: ClusterTime | None = None,
) -> Found:
    """Rows with a later stamp, tombstones among them, in the order of their stamps.

    Args:
        source: which.
        since: only rows stamped later.
        after: only rows after this one.
        fresh: give the values of rows stamped later than this.
        share: leave values of more bytes of JSON out; a row says whether it is `whole`.
        limit: how many at most.
        at: read this snapshot; None for the latest.

    Raises:
        SnapshotGone: the database cannot show `at` any more.
    """
    stamped: Raw = {"changedAt": {"$gt": since}}
    if after is not None:
        # one range: of two the planner sorts in memory
        before = {"changedAt": after[0], "_id": {"$lte": after[1]}}
        stamped = {"changedAt": {"$gte": after[0]}, "$nor": [before]}
    where = source.where() | stamped | source.begins()
    whole = {"$and": [{"$gt": ["$changedAt", fresh]}, {"$lte": ["$bytes", share]}]}
    return await _find(where, _with_values(whole), {"changedAt": 1, "_id": 1}, limit, at)


async def find_live(
    source: Source,
    after: str | None = None,
    *,
    share: int,
    limit: int,
    at: ClusterTime | None = None,
) -> Found:
    """Rows of the values that live, in the order of their keys; arguments as of `find_changed`."""
    where = source.where() | {"dataKey": source.keys(after), "deleted": False, **unexpired(now())}
    return await _find(where, _with_values({"$lte": ["$bytes", share]}), {"dataKey": 1}, limit, at)


async def find_versions(
    source: Source, since: ClusterTime, at: ClusterTime
) -> set[tuple[ObjectId, int]]:
    """`_id` and version of every row that was stamped later than `since` and is there at `at`.

    Raises:
        SnapshotGone: the database cannot show `at` any more.
    """
    where = source.where() | {"changedAt": {"$gt": since}}
    found = await _find(where, {"version": 1}, {"changedAt": 1, "_id": 1}, 0, at)
    return {(row["_id"], row["version"]) for row in found.rows if is_count(row.get("version"))}


async def find_values(ids: Collection[ObjectId], at: ClusterTime | None) -> dict[ObjectId, Raw]:
    """Whole rows by `_id`, as many as one answer has room for; arguments and errors as of
    `find_changed`."""
    found = await _find({"_id": {"$in": list(ids)}}, _with_values({"$literal": True}), None, 0, at)
    return {row["_id"]: row for row in found.rows}


async def count_live(source: Source, keys: Collection[str] | None = None) -> int:
    """How many values live; of these keys, where some are named."""
    span = source.keys() | ({} if keys is None else {"$in": list(keys)})
    where = source.where() | {"dataKey": span, "deleted": False, **unexpired(now())}
    return await AppData.raw().count_documents(where)


def _with_values(whole: Raw) -> Raw:
    value = {"$cond": [whole, "$value", "$$REMOVE"]}
    return dict.fromkeys(_FIELDS, 1) | {"escaped": 1, "value": value, "whole": whole}


def _command(where: Raw, fields: Raw, sort: Raw | None, limit: int, at: ClusterTime | None) -> Raw:
    concern: Raw = {"level": "snapshot"} | ({} if at is None else {"atClusterTime": at})
    command: Raw = {
        "find": AppData.collection_name(),
        "filter": where,
        "projection": fields,
        "readConcern": concern,
    }
    command |= {"sort": sort} if sort else {}
    return command | ({"limit": limit, "batchSize": limit} if limit else {"batchSize": 1_000_000})


async def _find(
    where: Raw, fields: Raw, sort: Raw | None, limit: int, at: ClusterTime | None
) -> Found:
    """One `find`, sent as a command: the driver's cursors do not tell the time of the snapshot that
    was read.

    What the driver retries for its own reads is tried once more here.
    """
    command = _command(where, fields, sort, limit, at)
    try:
        cursor = await _asked(command)
    except OperationFailure as error:
        if at is not None and error.code in _TOO_OLD:
            raise SnapshotGone from None
        raise
    if cursor["id"]:
        await _database().command(
            {"killCursors": AppData.collection_name(), "cursors": [cursor["id"]]}
        )
    return Found(cursor["firstBatch"], cursor["atClusterTime"], bool(cursor["id"]))


async def _asked(command: Raw) -> Any:
    try:
        answer = await _database().command(command, codec_options=_DECODED)
    except AutoReconnect as error:
        if error.timeout:
            raise
        answer = await _database().command(command, codec_options=_DECODED)
    return answer["cursor"]


def _database() -> Any:
    return AppData.raw().database
