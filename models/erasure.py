"""The ledger of erasures for analytics: what archives must leave out, and how bitmaps lose a
person. Nobody's name."""

import hashlib
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Annotated, Final

from beanie import PydanticObjectId
from pydantic import Field

from models.base import Raw, Session, Stored, Timestamp, now

RESENT_FOR: Final = timedelta(days=400)
"""So long a client may keep an event that it has sent, and send it again."""


class Erasure(Stored):
    """One erased user; `_id` is the id, which is never used again.

    `numbers` stood for the user in bitmaps; they are dropped when the erasure is complete.
    `digests` are SHA-256 of the anonymous and external ids that were the user's, for events that do
    not name the user: archived and late ones.
    """

    id: PydanticObjectId = Field(alias="_id")
    at: Timestamp = Field(default_factory=now)
    numbers: list[int] = Field(default_factory=list)
    digests: list[str] = Field(default_factory=list)
    subtracted: Annotated[int, Field(description="Events taken out of rollups.")] = 0

    class Settings:
        name = "erasures"

    @classmethod
    async def erased_keys(cls, keys: Collection[str], session: Session = None) -> set[str]:
        """Those of these keys of anonymous and external ids (`person_key`) that were an erased
        user's."""
        by_digest = {digest_of(key): key for key in keys}
        found = set()
        async for row in cls.raw().find(
            {"digests": {"$in": list(by_digest)}}, {"_id": 0, "digests": 1}, session=session
        ):
            found |= by_digest.keys() & row["digests"]
        return {by_digest[digest] for digest in found}


def digest_of(key: str) -> str:
    """A person's key in the ledger: its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()


class ErasedMessage(Stored):
    """An event with a `messageId` was erased, and its client may send it again. `_id` is a keyed
    digest of the two."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    expires_at: Timestamp

    class Settings:
        name = "erasedmessages"

    @classmethod
    async def note(cls, digests: Iterable[str], session: Session = None) -> None:
        """Keep these digests for `RESENT_FOR`, in the transaction that erases the events."""
        wanted = set(digests)
        moment = now()
        times: Raw = {
            "createdAt": moment,
            "updatedAt": moment,
            "version": 1,
            "expiresAt": moment + RESENT_FOR,
        }
        known = await cls.fetch(wanted, session, ["_id"])
        if fresh := [{"_id": digest, **times} for digest in sorted(wanted - known.keys())]:
            await cls.raw().insert_many(fresh, ordered=False, session=session)

    @classmethod
    async def there_are_any(cls) -> bool:
        """Whether any event was erased that may be sent again."""
        return await cls.raw().find_one({"expiresAt": {"$gt": now()}}, {"_id": 1}) is not None

    @classmethod
    async def known(cls, digests: Collection[str]) -> set[str]:
        """Those of these digests that are kept."""
        where: Raw = {"_id": {"$in": list(digests)}, "expiresAt": {"$gt": now()}}
        return {row["_id"] async for row in cls.raw().find(where, {"_id": 1})}


def message_digest(key: bytes, app_id: str, message_id: str) -> str:
    """A digest (BLAKE2b, RFC 7693) of an app's `messageId`, which nobody can make without the
    deployment's key."""
    return hashlib.blake2b(f"{app_id}/{message_id}".encode(), key=key, digest_size=16).hexdigest()
