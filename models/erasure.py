"""The ledger of erasures for analytics: what archives must leave out, and how bitmaps lose a person. Nobody's name."""

import hashlib
from collections.abc import Collection
from typing import Annotated

from beanie import PydanticObjectId
from pydantic import Field

from models.base import Stored, Timestamp, now


class Erasure(Stored):
    """One erased user; `_id` is the id, which is never used again.

    `numbers` stood for the user in bitmaps; they are dropped when the erasure is complete. `digests` are SHA-256 of the
    anonymous and external ids that were the user's, for events that do not name the user: archived and late ones.
    """

    id: PydanticObjectId = Field(alias="_id")
    at: Timestamp = Field(default_factory=now)
    numbers: list[int] = Field(default_factory=list)
    digests: list[str] = Field(default_factory=list)
    subtracted: Annotated[int, Field(description="Events taken out of rollups.")] = 0

    class Settings:
        name = "erasures"

    @classmethod
    async def erased_keys(cls, keys: Collection[str]) -> set[str]:
        """Those of these keys of anonymous and external ids (`person_key`) that were an erased user's."""
        by_digest = {digest_of(key): key for key in keys}
        found = set()
        async for row in cls.raw().find({"digests": {"$in": list(by_digest)}}, {"_id": 0, "digests": 1}):
            found |= by_digest.keys() & row["digests"]
        return {by_digest[digest] for digest in found}


def digest_of(key: str) -> str:
    """A person's key in the ledger: its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()
