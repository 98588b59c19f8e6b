"""The profile: what a user shows of themselves; one to each user."""

from typing import Annotated, ClassVar, Self

from bson import ObjectId
from pydantic import Field

from models.base import Fields, Session
from models.owned import OneToOne
from models.values import SmallObject

Url = Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s]+$")]


class Avatar(Fields):
    """A picture and its thumbnail, by URL."""

    url: Url | None = None
    thumbnail_url: Url | None = None


class ProfileContent(Fields):
    """What a profile says."""

    display_name: Annotated[str, Field(max_length=255)] | None = None
    bio: Annotated[str, Field(max_length=500)] | None = None
    avatar: Avatar = Field(default_factory=Avatar)
    metadata: SmallObject = Field(default_factory=dict)


class Profile(ProfileContent, OneToOne):
    """One user's profile."""

    GUARDED: ClassVar[bool] = True

    class Settings:
        name = "profiles"

    @classmethod
    async def find_or_create_profile(cls, user_id: ObjectId, *, session: Session = None) -> Self:
        """The user's profile, made empty if there was none; racing callers get the one document."""
        return await cls.find_or_create(user_id, session=session)
