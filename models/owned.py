"""The virtual `user` of every child of a user (required: Virtual Relationships)."""

from collections.abc import Sequence
from typing import Any, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import PrivateAttr
from pymongo import ReturnDocument

from models.base import Session, Stored
from models.user import User


class OwnedByUser(Stored):
    """A document that belongs to a user; `user` is there once it was populated."""

    user_id: PydanticObjectId
    _user: User | None = PrivateAttr(default=None)

    @property
    def user(self) -> User | None:
        """The owner, after `populate`; None before that, or where there is none."""
        return self._user

    async def populate(self, *, session: Session = None) -> "OwnedByUser":
        """Fetch the owner into `user`."""
        await populate([self], session=session)
        return self


class OneToOne(OwnedByUser):
    """A document that each user has one of, by a unique index on `userId`."""

    @classmethod
    async def find_by_user_id(cls, user_id: ObjectId, *, session: Session = None) -> Self | None:
        """The user's document, None where there is none (required: `findByUserId`)."""
        row = await cls.raw().find_one({"userId": user_id}, session=session)
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def find_or_create(cls, user_id: ObjectId, *, session: Session = None) -> Self:
        """The user's document, made with defaults if there was none; racing callers get the one
        document."""
        fresh = cls(user_id=PydanticObjectId(user_id)).stored()
        del fresh["userId"]
        row: Any = await cls.raw().find_one_and_update(
            {"userId": user_id},
            {"$setOnInsert": fresh},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return cls.from_stored(row)


async def populate(children: Sequence[OwnedByUser], *, session: Session = None) -> None:
    """Fetch the owners of any number of children, of one kind or several, into their `user`, by one
    query."""
    wanted = {child.user_id for child in children if child.user_id is not None}
    if not wanted:
        return
    owners = {user.id: user for user in await User.find_by_ids(list(wanted), session=session)}
    for child in children:
        child._user = owners.get(child.user_id)
