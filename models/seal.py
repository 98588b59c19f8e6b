"""Seals: the day of each app before which raw events are archived, and none is taken any more."""

from datetime import datetime

from pydantic import Field

from models.app import AppId
from models.base import Stored, Timestamp


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

    `erased_to` is the latest erasure that the file has been rewritten for; `leftovers` are files that rewriting has
    replaced, or begun and not finished, and that are to be removed.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId
    day: Timestamp
    file: str
    rows: int
    bytes: int
    sha256: str
    removed: bool = False
    erased_to: Timestamp | None = None
    leftovers: list[str] = Field(default_factory=list)

    class Settings:
        name = "archiveddays"
