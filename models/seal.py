"""Seals: the day of each app before which raw events are archived, and none is taken any more."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from models.app import AppId
from models.aside import counted, is_readable, readable
from models.base import Fields, Raw, Session, Stored, Timestamp

WRITING: Final = "writing"
WRITTEN: Final = "written"
ALL, SOME, NONE = "all", "some", "none"


class Seal(Stored):
    """Events of an app that happened before `sealed_to` are set aside. `_id` is the app's id.

    `guard` makes a restore and the joins of its app conflict.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    sealed_to: Timestamp
    guard: int = 0

    class Settings:
        name = "analyticsseals"

    @classmethod
    async def all_readable(cls) -> list["Seal"]:
        """Every seal but those that cannot be read, which are told."""
        return readable(cls, await cls.raw().find({"_id": {"$gte": ""}}).to_list())[0]

    @classmethod
    async def by_app(cls) -> dict[str, datetime]:
        """App -> the moment up to which it is sealed."""
        return {seal.id: seal.sealed_to for seal in await cls.all_readable()}

    @classmethod
    async def advance(cls, app_id: str, limit: datetime, moment: datetime) -> bool:
        """Seal an app up to a moment, if it is not yet; a seal that cannot be read is made anew."""
        row = await cls.raw().find_one({"_id": app_id})
        if row is not None and is_readable(cls, row) and row["sealedTo"] >= limit:
            return False
        fields: Raw = {
            "sealedTo": limit,
            "updatedAt": moment,
            "createdAt": moment,
            "version": counted("version"),
        }
        await cls.raw().update_one({"_id": app_id}, [{"$set": fields}], upsert=True)
        return True

    @classmethod
    async def touch(cls, app_id: str, session: Session) -> None:
        """Conflict with whoever joins an id of the app, or restores a day of it, at the same
        time."""
        await cls.raw().update_one(
            {"_id": app_id}, [{"$set": {"guard": counted("guard")}}], session=session
        )


class ArchivedPart(Fields):
    """A file with some of a day's events, written whole and checked.

    `stored` is which of its events are in the database, too: `some` while they are removed or put
    back. `erased_to` is the latest erasure that the file has been looked through for.
    """

    file: str
    rows: int
    bytes: int
    sha256: str
    stored: Literal["all", "some", "none"] = ALL  # type: ignore[assignment]
    erased_to: Timestamp | None = None


class ArchivedDay(Stored):
    """What is archived of an app's day (UTC), in files of a bounded size. `_id` is `<app>/<day>`.

    An entry is there before its files. It is their manifest: a file is one of its parts once it is
    whole and checked, and once all are the day is `written`, as entries without a state are. Only
    then are raw events removed, and the rollups of the day are not counted anew any more. `after`
    is the place of the last event that is in a part while the day is written; `leftovers` are files
    that were replaced, or begun and not finished, and that are to be removed. Each step is a
    compare-and-set on `version`. Days of the former form have one `file` and no `parts`.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId
    day: Timestamp
    state: Literal["writing", "written"] = WRITTEN
    counted: Annotated[bool, Field(description="It was counted a last time.")] = False
    parts: list[ArchivedPart] = Field(default_factory=list)
    after: dict[str, Any] | None = None
    file: str | None = None
    rows: int = 0
    bytes: int = 0
    sha256: str | None = None
    removed: bool = False
    held: Annotated[
        bool, Field(description="It was restored: its events stay until it is released.")
    ] = False
    erased_to: Timestamp | None = None
    leftovers: list[str] = Field(default_factory=list)

    class Settings:
        name = "archiveddays"

    @classmethod
    async def find_held(cls) -> set[str]:
        """The days (`<app>/<day>`) that were restored and not released yet."""
        return {
            row["_id"]
            async for row in cls.raw().find({"_id": {"$gte": ""}, "held": True}, {"_id": 1})
        }

    @classmethod
    async def find_unfinished(cls) -> list[tuple[str, datetime]]:
        """(App, day) of days that are written, and of which not every event is noted as removed;
        not held ones."""
        where = {"_id": {"$gte": ""}, "state": WRITTEN, "removed": False, "held": {"$ne": True}}
        where |= {"appId": {"$type": "string"}, "day": {"$type": "date"}}
        return [
            (row["appId"], row["day"])
            async for row in cls.raw().find(where, {"appId": 1, "day": 1})
        ]
