"""The ledger of erasures for analytics: what archives must leave out, and how bitmaps lose a person. Nobody's name."""

from typing import Annotated

from beanie import PydanticObjectId
from pydantic import Field

from models.base import Stored, Timestamp, now


class Erasure(Stored):
    """One erased user; `_id` is the id, which is never used again.

    `numbers` stood for the user in bitmaps; they are dropped when the erasure is complete. `digests` are SHA-256 of the
    anonymous and external ids that were the user's, for archived events that do not name the user.
    """

    id: PydanticObjectId = Field(alias="_id")
    at: Timestamp = Field(default_factory=now)
    numbers: list[int] = Field(default_factory=list)
    digests: list[str] = Field(default_factory=list)
    subtracted: Annotated[int, Field(description="Events taken out of rollups.")] = 0

    class Settings:
        name = "erasures"
