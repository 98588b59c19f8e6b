"""People as analytics counts them: each known by keys, each with a number that is never used
again."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models.app import AppId
from models.aside import read_all, tell
from models.base import Raw, Session, Stored
from models.checked import Check, Checked, is_stamp

MOST_NUMBER: Final = 2**32 - 1
JoinState = Literal["aside", "refused", "joined", "undoing", "undone"]


def person_key(row: Raw) -> str | None:
    """By which key an event's person is known: `u:<user>`, `<appId>/e:<external id>`,
    `<appId>/a:<anonymous id>`.

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


def key_rows(app_id: str, key: str) -> Raw:
    """A filter on the events of an app that carry the id which a key of it stands for."""
    kind, _, value = key[len(app_id) + 1 :].partition(":")
    return {"appId": app_id, "externalId" if kind == "e" else "anonymousId": value}


def is_number(value: Any) -> bool:
    """Whether this may be the number of a person."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_NUMBER


class Person(Checked):
    """One key of a person and the person's number. Bitmaps hold numbers; without this document they
    identify nobody.

    `user_id` is the user whose key it is, or whom an anonymous or external id turned out to be.
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {"number": is_number, "userId": is_stamp}
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
    async def numbers_of(
        cls, user_ids: Collection[ObjectId], session: Session = None
    ) -> dict[ObjectId, set[int]]:
        """User -> the numbers that stand for them."""
        found: dict[ObjectId, set[int]] = {}
        async for row in cls.raw().find({"userId": {"$in": list(user_ids)}}, session=session):
            if cls.is_sound(row):
                found.setdefault(row["userId"], set()).add(row["number"])
        return found


class IdentityJoin(Stored):
    """What an app has said: this anonymous or external id is that person. The worker carries it
    out.

    `_id` is the key that is joined; the person is a user, or one more external id. `state` is
    absent until then. A join that would make one person of too many ids is set `aside` for a
    decision: it is carried out once it is `accepted`, or `refused`. One that was `joined` can be
        undone.
    """

    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId
    user_id: PydanticObjectId | None = None
    external_id: str | None = None
    due: Annotated[
        bool | None, Field(description="True until it is carried out, or taken back.")
    ] = None
    state: JoinState | None = None
    accepted: bool | None = None
    ids: Annotated[
        int | None,
        Field(description="How many ids would have been one person, where it was set aside."),
    ] = None

    class Settings:
        name = "identityjoins"

    @classmethod
    async def page(
        cls, app_id: str, state: JoinState, limit: int, after: str | None = None
    ) -> list[Self]:
        """Joins of an app in a state, by their keys; those after a key, where one is given."""
        where: Raw = {
            "appId": app_id,
            "state": state,
            **({"_id": {"$gt": after}} if after is not None else {}),
        }
        return read_all(cls, await cls.raw().find(where).sort("_id", 1).limit(limit).to_list())

    @property
    def target(self) -> str:
        """The key of the person whom it turned out to be."""
        return (
            f"u:{self.user_id}"
            if self.user_id is not None
            else f"{self.app_id}/e:{self.external_id}"
        )

    @property
    def as_read(self) -> Raw:
        """The filter of this join while it is due as it was read, and names the same person."""
        same = {"userId": self.user_id, "externalId": self.external_id, "state": self.state}
        return {"_id": self.id, "due": True, **same}

    @property
    def rows(self) -> Raw:
        """A filter on the events that are known by the joined key alone."""
        own = key_rows(self.app_id, self.id)
        return own if "externalId" in own else {**own, "externalId": None, "userId": None}


class PersonMerge(Stored):
    """Two numbers that turned out to be one person, until every bitmap says so. `_id` is the one
    that goes."""

    id: Annotated[int, Field(alias="_id")]  # type: ignore[assignment]
    into: int

    class Settings:
        name = "personmerges"

    @classmethod
    async def pending(cls, session: Session = None) -> dict[int, int]:
        """Number -> the number that it is to be counted as, chains followed to their end."""
        direct: dict[int, int] = {}
        async for row in cls.raw().find({"_id": {"$gte": 0}}, session=session):
            if is_number(row["_id"]) and is_number(row.get("into")):
                direct[row["_id"]] = row["into"]
            else:
                tell(cls, row["_id"], TypeError())
        return ends_of(direct)


def ends_of(direct: Mapping[int, int]) -> dict[int, int]:
    """Number -> the end of its chain; without those of chains that end in a circle, which no merge
    makes and nobody can be counted as."""
    ends: dict[int, int | None] = {}
    for number in direct:
        passed = dict[int, None]()
        end = number
        while end in direct and end not in passed and end not in ends:
            passed[end] = None
            end = direct[end]
        ends |= dict.fromkeys(passed, None if end in passed else ends.get(end, end))
    return {number: end for number, end in ends.items() if end is not None}
