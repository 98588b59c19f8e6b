"""Seals: the day of each app before which raw events are archived, and none is taken any more."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from models.app import AppId
from models.base import Stored, Timestamp

WRITING: Final = "writing"
WRITTEN: Final = "written"


class Seal(Stored):
    """Events of an app that happened before `sealed_to` are set aside. `_id` is the app's id."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    sealed_to: Timestamp

    class Settings:
        name = "analyticsseals"

    @classmethod
    async def by_app(cls) -> dict[str, datetime]:
        """App -> the moment up to which it is sealed."""
        return {row["_id"]: row["sealedTo"] async for row in cls.raw().find({"_id": {"$gte": ""}})}


class ArchivedDay(Stored):
    """One archive file: an app's raw events of one day (UTC). `_id` is `<app>/<day>`.

    An entry is there before its file, which is the day's once it is `written`, as entries without a state are. Only
    then are raw events removed, and the rollups of the day are not counted anew any more.
    `erased_to` is the latest erasure that the file has been rewritten for; `leftovers` are files that were replaced, or
    begun and not finished, and that are to be removed. Each step is a compare-and-set on `version`.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId
    day: Timestamp
    state: Literal["writing", "written"] = WRITTEN
    file: str | None = None
    rows: int = 0
    bytes: int = 0
    sha256: str | None = None
    removed: bool = False
    held: Annotated[bool, Field(description="It was restored: its events stay until it is released.")] = False
    erased_to: Timestamp | None = None
    leftovers: list[str] = Field(default_factory=list)

    class Settings:
        name = "archiveddays"

    @classmethod
    async def find_held(cls) -> set[str]:
        """The days (`<app>/<day>`) that were restored and not released yet."""
        return {row["_id"] async for row in cls.raw().find({"_id": {"$gte": ""}, "held": True}, {"_id": 1})}
