"""Bad rows: what no version could read or change, planted where the worker's loops come by."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId, Timestamp
from pymongo.database import Database

Raw = dict[str, Any]
_LONG_AGO: Final = timedelta(minutes=1)


def _times() -> Raw:
    moment = datetime.now(UTC)
    return {"createdAt": moment, "updatedAt": moment, "version": 1}


def _past() -> datetime:
    return datetime.now(UTC) - _LONG_AGO


def _job() -> Raw:
    odd = {"_id": f"odd-{ObjectId()}", "kind": "expire-app-data", "state": "due", "runAt": _past()}
    return {**_times(), **odd, "fence": 0, "attempts": 0, "progress": None}


def _queue() -> Raw:
    odd = {"_id": ObjectId(), "accountId": ObjectId(), "waiting": 1, "dueAt": _past()}
    return {**_times(), **odd, "last": None, "done": 0, "fence": 0}


def _value() -> Raw:
    odd: Raw = {
        "_id": ObjectId(),
        "userId": ObjectId(),
        "appId": "odd",
        "dataKey": str(ObjectId()),
        "value": 1,
    }
    odd |= {
        "escaped": False,
        "deleted": False,
        "changedAt": Timestamp(1, 1),
        "changedBy": "x",
        "bytes": 1,
    }
    return {**_times(), **odd, "version": "x", "expiresAt": _past()}


def _deletion() -> Raw:
    odd = {
        "_id": ObjectId(),
        "root": "users",
        "by": "x",
        "at": _past(),
        "stage": "x",
        "final": False,
    }
    return {**_times(), **odd, "deleted": {}, "nulled": {}, "nextSweepAt": _past()}


def _webhook_event() -> Raw:
    odd = {
        "_id": ObjectId(),
        "connectionId": ObjectId(),
        "deliveryId": str(ObjectId()),
        "event": "push",
    }
    return {
        **_times(),
        **odd,
        "payload": None,
        "status": "received",
        "attempts": 0,
        "receivedAt": _past(),
    }


def _link() -> Raw:
    odd = {
        "_id": ObjectId(),
        "kind": "bank",
        "originId": ObjectId(),
        "ownerId": ObjectId(),
        "accessToken": "x",
    }
    return {**_times(), **odd, "details": {}, "attempts": "x", "nextAttemptAt": _past()}


def _repository() -> Raw:
    url = f"https://x.example/{ObjectId()}"
    return {
        **_times(),
        "_id": ObjectId(),
        "projectId": ObjectId(),
        "repositoryUrl": url,
        "nextHealthCheckAt": _past(),
    }


def _connection() -> Raw:
    odd = {
        "_id": ObjectId(),
        "userId": ObjectId(),
        "provider": "nobody's",
        "accessToken": {"k": "x"},
    }
    return {**_times(), **odd, "nextAttemptAt": _past()}


def _fan_out() -> Raw:
    odd = {
        "_id": ObjectId(),
        "accountId": ObjectId(),
        "subject": ObjectId(),
        "sequence": 1,
        "type": "x",
    }
    return {
        **_times(),
        **odd,
        "state": "delivered",
        "attempts": 0,
        "fanOutAfter": ObjectId("0" * 24),
    }


ODD: Final[dict[str, Callable[[], Raw]]] = {
    "jobs": _job,
    "cardqueues": _queue,
    "appdata": _value,
    "deletions": _deletion,
    "webhookevents": _webhook_event,
    "outsidelinks": _link,
    "repositoryconnections": _repository,
    "connections": _connection,
    "cardevents": _fan_out,
}
"""Collection -> a row that is amiss, and due."""


class Planted:
    """What was planted: `rows` are (collection, `_id` as the log tells it)."""

    def __init__(self) -> None:
        self.rows: set[tuple[str, str]] = set()

    def plant(self, database: Database[Raw], collection: str) -> None:
        """Plant one row."""
        row = ODD[collection]()
        self.rows.add((collection, str(row["_id"])))
        database[collection].insert_one(row)

    def ids(self, collection: str) -> list[Any]:
        """The `_id`s of the rows of a collection."""
        found = [row_id for name, row_id in tuple(self.rows) if name == collection]
        return [row_id if row_id.startswith("odd-") else ObjectId(row_id) for row_id in found]
