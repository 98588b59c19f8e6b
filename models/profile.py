"""The profile: what a user shows of themselves; one to each user."""

from typing import Annotated, Any, Self

from bson import ObjectId
from pydantic import Field
from pymongo import ReturnDocument

from models.base import Fields, Session
from models.owned import OwnedByUser
from models.values import SmallObject

Url = Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s]+$")]


class Avatar(Fields):
    """A picture and its thumbnail, by URL."""

    url: Url | None = None
    thumbnail_url: Url | None = None


class ProfileContent(Fields):
    """What a profile says (seed 002)."""

    display_name: Annotated[str, Field(max_length=255)] | None = None
    bio: Annotated[str, Field(max_length=500)] | None = None
    avatar: Avatar = Field(default_factory=Avatar)
    metadata: SmallObject = Field(default_factory=dict)


class Profile(ProfileContent, OwnedByUser):
    """One user's profile."""

    class Settings:
        name = "profiles"

    @classmethod
    async def find_by_user_id(cls, user_id: ObjectId, *, session: Session = None) -> Self | None:
        """The user's profile, None where there is none (seed 002 `findByUserId`)."""
        row = await cls.raw().find_one({"userId": user_id}, session=session)
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def find_or_create_profile(cls, user_id: ObjectId, *, session: Session = None) -> Self:
        """The user's profile, made empty if there was none; racing callers get the one document (seed 002)."""
        fresh = cls(user_id=user_id).stored()
        del fresh["userId"]
        row: Any = await cls.raw().find_one_and_update(
            {"userId": user_id},
            {"$setOnInsert": fresh},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return cls.from_stored(row)
