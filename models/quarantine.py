"""Events that were set aside, each with its reason, for those who mend the client that sent
them."""

from datetime import datetime
from typing import Any

from beanie import PydanticObjectId
from pydantic import Field
from pymongo.errors import BulkWriteError

from models.app import AppId
from models.aside import read_all
from models.base import Raw, Session, Stored, Timestamp, now
from models.values import escape_refs

_DUPLICATE_KEY = 11000


class QuarantinedEvent(Stored):
    """One event that could not be counted. `_id` follows from its content, so that a repeated batch
    sets it aside once.

    `event` is what was sent; it is left out where it is of a user who is not there, and cut where
    it is long.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId | None = None
    user_id: PydanticObjectId | None = None
    pointer: str
    code: str
    detail: str
    event: Any = None
    sent_by: str
    received_at: Timestamp = Field(default_factory=now)
    expires_at: Timestamp

    class Settings:
        name = "quarantine"

    @classmethod
    async def add_all(cls, rows: list[Raw], session: Session = None) -> None:
        """Store rows by their ids, those that are there already once."""
        fresh = [
            {**row, "event": escape_refs(row["event"])} if "event" in row else row for row in rows
        ]
        try:
            await cls.raw().insert_many(fresh, ordered=False, session=session)
        except BulkWriteError as error:
            failures = (error.details or {}).get("writeErrors", [])
            if any(failure["code"] != _DUPLICATE_KEY for failure in failures):
                raise

    @classmethod
    async def newest(
        cls, app_id: str | None, limit: int, after: tuple[datetime, str] | None = None
    ) -> list["QuarantinedEvent"]:
        """Events set aside, the newest first; of one app, or of all where `app_id` is None."""
        query: Raw = {} if app_id is None else {"appId": app_id}
        if after is not None:
            query["receivedAt"] = {"$lte": after[0]}
            query["$or"] = [
                {"receivedAt": {"$lt": after[0]}},
                {"receivedAt": after[0], "_id": {"$lt": after[1]}},
            ]
        cursor = cls.raw().find(query).sort([("receivedAt", -1), ("_id", -1)]).limit(limit)
        return read_all(cls, await cursor.to_list())
