"""How app data is found and changed: the filters and updates of its one atomic operation each."""

from datetime import UTC, datetime
from enum import Enum
from typing import Final

from bson import ObjectId

from models.base import Raw
from models.precondition import Expected
from models.values import Json, escape_refs, has_refs

NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_BUMP: Final = {"$add": [{"$ifNull": ["$version", 0]}, 1]}


_MOST_HISTORY_BYTES: Final = 1024 * 1024
"""Of JSON. As BSON a value takes up to six times as much, so value and history stay below 10 of a
document's 16 MB."""
_FORMER: Final = {
    "version": "$version",
    "at": "$updatedAt",
    "by": "$changedBy",
    "bytes": {"$ifNull": ["$bytes", 0]},
    "deleted": "$deleted",
    "escaped": "$escaped",
    "value": "$value",
}


class Expiry(Enum):
    """What a write does to an expiry that is there."""

    KEEP = "keep"


def key_of(user_id: ObjectId, app_id: str, data_key: str) -> Raw:
    """The filter of one value, or of its tombstone."""
    return {"userId": user_id, "appId": app_id, "dataKey": data_key}


def unexpired(moment: datetime) -> Raw:
    """The filter of what has not ended by then."""
    return {"expiresAt": {"$not": {"$lte": moment}}}


def matching(expected: Expected, moment: datetime) -> Raw:
    """The filter of a precondition: what ended is as good as not there, and so is a tombstone."""
    if expected.absent:
        return {"$or": [{"deleted": True}, {"expiresAt": {"$lte": moment}}]}
    live: Raw = {"deleted": False, **unexpired(moment)}
    if expected.changed_before is not None:
        live["updatedAt"] = {"$lt": expected.changed_before}
    if expected.versions is None:
        return live
    only_one = len(expected.versions) == 1
    return {
        "version": expected.versions[0] if only_one else {"$in": list(expected.versions)},
        **live,
    }


def kept(fields: Raw, history: int) -> list[Raw]:
    """The update that sets fields, after it put what the row was into the row's own `history`, the
    newest last.

    Every update of a value is made with it, so that the history has every version.

    Args:
        fields: as of `$set` in a pipeline.
        history: how many former versions the app keeps; of them those that fit 1 MiB. With 0 the
            row has none.
    """
    if not history:
        return [{"$set": {**fields, "history": "$$REMOVE"}}]
    is_new = {"$eq": [{"$type": "$version"}, "missing"]}
    former = {"$slice": [{"$concatArrays": [{"$ifNull": ["$history", []]}, [_FORMER]]}, -history]}
    fitting = {"$slice": ["$$former", {"$subtract": [0, "$$fit.count"]}]}
    newest = {"$let": {"vars": {"fit": _FIT}, "in": fitting}}
    bounded = {"$let": {"vars": {"former": former}, "in": newest}}
    return [{"$set": {"history": {"$cond": [is_new, "$$REMOVE", bounded]}}}, {"$set": fields}]


_ROOM_LEFT: Final = {"$subtract": ["$$value.room", "$$this"]}
_FIT: Final = {
    "$reduce": {
        "input": {"$reverseArray": "$$former.bytes"},
        "initialValue": {"count": 0, "room": _MOST_HISTORY_BYTES},
        "in": {
            "$cond": [
                {"$gte": ["$$value.room", "$$this"]},
                {"count": {"$add": ["$$value.count", 1]}, "room": _ROOM_LEFT},
                {"count": "$$value.count", "room": -1},
            ]
        },
    }
}


Sets = tuple[Json, int, str, datetime | Expiry | None, datetime]
"""What a write sets: value, size, by whom, expiry, moment."""
QueryKeys = Raw | None
"""What the row keeps for the app's declared queries (`models.app_data_queries.query_keys`)."""


def first_try(
    key: Raw,
    expected: Expected | None,
    sets: Sets,
    fresh: ObjectId,
    history: int,
    floor: int,
    query_keys: QueryKeys = None,
    *,
    alone: bool,
) -> tuple[Raw, Raw | list[Raw]]:
    """Filter and update of the operation to send first.

    Without a precondition it takes a live value or none at all, which is cheap. Where a tombstone
    or an expired value has the key, the unique index refuses it with nothing written, and the
    filter of the key with `put_update` is to follow; in a transaction, which would end with the
    refusal, that comes first.

    Args:
        key: of the value.
        expected: the precondition.
        sets: what the write sets.
        fresh: the `_id` of a new row.
        history: how many former versions the app keeps.
        floor: the version after which a new row begins.
        query_keys: of the value.
        alone: whether it is in no transaction.
    """
    moment = sets[-1]
    if expected is None and alone and not history and not floor:
        return key | matching(Expected(), moment), upsert_update(*sets, fresh, query_keys)
    query = key if expected is None else key | matching(expected, moment)
    if expected is None or expected.absent:
        return query, put_update(*sets, fresh, history, floor, query_keys)
    return query, replace_update(*sets, history, query_keys)


def put_update(
    value: Json,
    size: int,
    by: str,
    expires_at: datetime | Expiry | None,
    moment: datetime,
    fresh: ObjectId,
    history: int = 0,
    floor: int = 0,
    query_keys: QueryKeys = None,
) -> list[Raw]:
    """The update that stores a value whatever was there: nothing, a live value, one that is over, a
    tombstone.

    Where nothing was, the document's `_id` is `fresh`, and its version the one after `floor`.
    """
    escaped = has_refs(value)
    was_live = {
        "$and": [
            {"$eq": ["$deleted", False]},
            {"$gt": [{"$ifNull": ["$expiresAt", NEVER]}, moment]},
        ]
    }
    fields: Raw = {
        "_id": {"$ifNull": ["$_id", fresh]},
        "value": {"$literal": escape_refs(value) if escaped else value},
        "escaped": escaped,
        "deleted": False,
        "version": {"$add": [{"$ifNull": ["$version", floor]}, 1]},
        "createdAt": {"$cond": [was_live, "$createdAt", moment]},
        "updatedAt": moment,
        "changedAt": "$$CLUSTER_TIME",
        "changedBy": {"$literal": by},
        "bytes": size,
        "queryKeys": {"$literal": query_keys} if query_keys else "$$REMOVE",
    }
    if expires_at is not Expiry.KEEP:
        fields["expiresAt"] = expires_at or "$$REMOVE"
    return kept(fields, history)


def replace_update(
    value: Json,
    size: int,
    by: str,
    expires_at: datetime | Expiry | None,
    moment: datetime,
    history: int = 0,
    query_keys: QueryKeys = None,
) -> Raw | list[Raw]:
    """The update that stores a value where a live one is: without history it costs mongod a tenth
    less than `put_update`.
    """
    if history:
        return put_update(
            value, size, by, expires_at, moment, ObjectId(), history, query_keys=query_keys
        )
    return _plain_update(value, size, by, expires_at, moment, query_keys)


def upsert_update(
    value: Json,
    size: int,
    by: str,
    expires_at: datetime | Expiry | None,
    moment: datetime,
    fresh: ObjectId,
    query_keys: QueryKeys = None,
) -> Raw:
    """The update that stores a value where a live one is or none ever was, as cheap as
    `replace_update`.

    Its filter names the key and a live value, so that the unique index refuses it where there is
    another row.
    """
    update = _plain_update(value, size, by, expires_at, moment, query_keys)
    return {**update, "$setOnInsert": {"_id": fresh, "createdAt": moment}}


def _plain_update(
    value: Json,
    size: int,
    by: str,
    expires_at: datetime | Expiry | None,
    moment: datetime,
    query_keys: QueryKeys,
) -> Raw:
    escaped = has_refs(value)
    fields: Raw = {
        "value": escape_refs(value) if escaped else value,
        "escaped": escaped,
        "updatedAt": moment,
        "changedBy": by,
        "bytes": size,
    }
    update: Raw = {
        "$set": fields,
        "$inc": {"version": 1},
        "$currentDate": {"changedAt": {"$type": "timestamp"}},
        "$unset": {"history": ""},
    }
    if query_keys:
        fields["queryKeys"] = query_keys
    else:
        update["$unset"]["queryKeys"] = ""
    if expires_at is None:
        update["$unset"]["expiresAt"] = ""
    elif expires_at is not Expiry.KEEP:
        fields["expiresAt"] = expires_at
    return update


def tombstone_update(by: str, moment: datetime, history: int = 0) -> list[Raw]:
    """The update that leaves a tombstone of a value."""
    fields: Raw = {
        "value": "$$REMOVE",
        "expiresAt": "$$REMOVE",
        "setAsideUntil": "$$REMOVE",
        "queryKeys": "$$REMOVE",
        "escaped": False,
        "deleted": True,
        "version": _BUMP,
        "updatedAt": moment,
        "changedAt": "$$CLUSTER_TIME",
        "changedBy": {"$literal": by},
        "bytes": 0,
    }
    return kept(fields, history)
