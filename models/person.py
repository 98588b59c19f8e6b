"""People as analytics counts them: each known by keys, each with a number that is never used again."""

from collections.abc import Collection
from typing import Annotated

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models.app import AppId
from models.base import Raw, Session, Stored


def person_key(row: Raw) -> str | None:
    """By which key an event's person is known: `u:<user>`, `<appId>/e:<external id>`, `<appId>/a:<anonymous id>`.

    None where the event names nobody.
    """
    user = row.get("userId")
    if user is not None:
        return f"u:{user}"
    if (external := row.get("externalId")) is not None:
        return f"{row['appId']}/e:{external}"
    if (anonymous := row.get("anonymousId")) is not None:
        return f"{row['appId']}/a:{anonymous}"
    return None


class Person(Stored):
    """One key of a person and the person's number. Bitmaps hold numbers; without this document they identify nobody.

    `user_id` is the user whose key it is, or whom an anonymous or external id turned out to be.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    number: int
    user_id: PydanticObjectId | None = None

    class Settings:
        name = "analyticspeople"

    @classmethod
    async def find_by_keys(cls, keys: Collection[str], session: Session = None) -> dict[str, Raw]:
        """Key -> `{"number", "userId"?}` of those that are known."""
        return await cls.fetch(keys, session, ("number", "userId"))

    @classmethod
    async def numbers_of(cls, user_ids: Collection[ObjectId], session: Session = None) -> dict[ObjectId, set[int]]:
        """User -> the numbers that stand for them."""
        found: dict[ObjectId, set[int]] = {}
        async for row in cls.raw().find({"userId": {"$in": list(user_ids)}}, session=session):
            found.setdefault(row["userId"], set()).add(row["number"])
        return found


class IdentityJoin(Stored):
    """What an app has said: this anonymous or external id is that person. The worker carries it out.

    `_id` is the key that is joined; the person is a user, or one more external id.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId
    user_id: PydanticObjectId | None = None
    external_id: str | None = None
    due: Annotated[bool | None, Field(description="True until it is carried out.")] = None

    class Settings:
        name = "identityjoins"

    @property
    def target(self) -> str:
        """The key of the person whom it turned out to be."""
        return f"u:{self.user_id}" if self.user_id is not None else f"{self.app_id}/e:{self.external_id}"

    @property
    def as_read(self) -> Raw:
        """The filter of this join while it is due and names the same person."""
        return {"_id": self.id, "due": True, "userId": self.user_id, "externalId": self.external_id}

    @property
    def rows(self) -> Raw:
        """A filter on the events that are known by the joined key alone."""
        kind, _, value = self.id[len(self.app_id) + 1 :].partition(":")
        if kind == "e":
            return {"appId": self.app_id, "externalId": value}
        return {"appId": self.app_id, "anonymousId": value, "externalId": None, "userId": None}


class PersonMerge(Stored):
    """Two numbers that turned out to be one person, until every bitmap says so. `_id` is the one that goes."""

    id: Annotated[int, Field(alias="_id")]  # type: ignore[assignment]
    into: int

    class Settings:
        name = "personmerges"

    @classmethod
    async def pending(cls, session: Session = None) -> dict[int, int]:
        """Number -> the number that it is to be counted as, chains followed to their end."""
        direct: dict[int, int] = {
            row["_id"]: row["into"] async for row in cls.raw().find({"_id": {"$gte": 0}}, session=session)
        }
        ends: dict[int, int] = {}
        for number in direct:
            end = number
            while end in direct:
                end = direct[end]
            ends[number] = end
        return ends
