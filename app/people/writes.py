"""What a transaction of an import writes: one command for each collection, however many people it
is about."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError

from models.app_data_batch import DUPLICATE_KEY
from models.base import WRITE_CONFLICT, Overtaken, Raw, Stored
from models.refresh_token import RefreshToken


@dataclass(slots=True)
class Writes:
    """Documents to insert and updates to make, by collection; `touched` are those whose sessions
    are looked at anew."""

    inserts: defaultdict[type[Stored], list[Raw]] = field(default_factory=lambda: defaultdict(list))
    updates: defaultdict[type[Stored], list[UpdateOne]] = field(
        default_factory=lambda: defaultdict(list)
    )
    touched: set[ObjectId] = field(default_factory=set)

    async def send(self, session: AsyncClientSession) -> None:
        """Do all of it in the transaction of a session.

        Raises:
            pymongo.errors.DuplicateKeyError: a unique value is taken; look again from outside.
            Overtaken: somebody else has written the same.
        """
        try:
            for document, rows in self.inserts.items():
                await document.raw().insert_many(rows, ordered=False, session=session)
            for document, updates in self.updates.items():
                done = await document.raw().bulk_write(updates, ordered=False, session=session)
                if done.matched_count + done.upserted_count < len(updates):
                    raise Overtaken
            if self.touched:
                await RefreshToken.touch(self.touched, session=session)
        except BulkWriteError as error:
            raise _told(error) from None


def _told(error: BulkWriteError) -> Exception:
    """A bulk write's error as that of a single one."""
    details: Any = error.details or {}
    codes = {each["code"] for each in details.get("writeErrors", [])}
    if codes and codes <= {DUPLICATE_KEY, WRITE_CONFLICT}:
        taken = DUPLICATE_KEY in codes
        return DuplicateKeyError("a unique value is taken", DUPLICATE_KEY) if taken else Overtaken()
    return error


def set_fields(fields: Raw, moment: Any) -> Raw:
    """The update that sets stored fields, those that are None taken away, and moves the version
    on."""
    kept = {name: value for name, value in fields.items() if value is not None}
    update: Raw = {"$set": {**kept, "updatedAt": moment}, "$inc": {"version": 1}}
    if gone := {name: "" for name, value in fields.items() if value is None}:
        update["$unset"] = gone
    return update
