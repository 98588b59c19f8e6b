"""Webhook events: what a Git host has delivered, stored before it is answered, kept for 30 days."""

from datetime import datetime
from typing import Any, Final, Literal

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo.errors import DuplicateKeyError

from models import aside
from models.aside import read_all
from models.base import Raw, Session, Stored, Timestamp, now

UNREADABLE: Final = "unreadable"
LOST: Final = "lost"
"""The error of a delivery whose payload was not kept, since there was no room for it; the host may
send it again."""
EventStatus = Literal["received", "processed", "failed"]


class WebhookEvent(Stored):
    """One delivery. `delivery_id` is the host's id of it, and unique per connection.

    `digest` is of the signed body, where the host signs nothing else: the delivery id is not under
    the signature. `bytes_cut` is the size of a body that was too large to be kept whole.
    """

    connection_id: PydanticObjectId
    delivery_id: str
    digest: str | None = None
    event: str
    payload: dict[str, Any]
    bytes_cut: int | None = None
    status: EventStatus = "received"
    error: str | None = None
    attempts: int = 0
    received_at: Timestamp = Field(default_factory=now)
    processed_at: Timestamp | None = None

    class Settings:
        name = "webhookevents"

    @classmethod
    async def find_waiting(cls, limit: int) -> list["WebhookEvent"]:
        """Events that are to be processed, oldest first; those that cannot be read are `failed`."""
        cursor = (
            cls.raw()
            .find({"status": "received"})
            .sort([("receivedAt", 1), ("_id", 1)])
            .limit(limit)
        )
        return await aside.documents(
            cls, await cursor.to_list(), {"status": "failed", "error": UNREADABLE}
        )

    @classmethod
    async def list_of(
        cls,
        connection_id: ObjectId,
        since: datetime,
        limit: int,
        *,
        status: EventStatus | None = None,
        after: tuple[datetime, ObjectId] | None = None,
    ) -> list["WebhookEvent"]:
        """A connection's events since a moment, newest first."""
        where = {"connectionId": connection_id, **_received(since, after)}
        where |= {"status": status} if status else {}
        cursor = cls.raw().find(where).sort([("receivedAt", -1), ("_id", -1)]).limit(limit)
        return read_all(cls, await cursor.to_list())

    async def refill(self) -> "WebhookEvent | None":
        """Put this delivery into the place of the lost one with its id; None where there is
        none."""
        names = ("payload", "digest", "event", "bytesCut", "status", "receivedAt")
        row = self.stored()
        fields: Raw = {name: row.get(name) for name in names} | {"error": None, "processedAt": None}
        where = {"connectionId": self.connection_id, "deliveryId": self.delivery_id, "error": LOST}
        try:
            return await WebhookEvent.change(where, fields)
        except DuplicateKeyError:  # of the digest: it has come under another id
            return None

    async def settle(
        self, status: EventStatus, error: str | None, session: Session = None
    ) -> "WebhookEvent | None":
        """Note how processing went; None where somebody else did it first."""
        fields: Raw = {
            "status": status,
            "error": error,
            "attempts": self.attempts + 1,
            "processedAt": now(),
        }
        return await WebhookEvent.change(
            {"_id": self.id}, fields, expected=self.version, session=session
        )


def _received(since: datetime, after: tuple[datetime, ObjectId] | None) -> Raw:
    """Those since a moment that come after a place in a list of the newest first."""
    if after is None:
        return {"receivedAt": {"$gte": since}}
    moment, event_id = after
    same = {"receivedAt": moment, "_id": {"$lt": event_id}}
    later = [{"receivedAt": {"$lt": moment}}, same]
    return {"receivedAt": {"$gte": since, "$lte": moment}, "$or": later}
