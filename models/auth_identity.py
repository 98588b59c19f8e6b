"""Identities: the ways in which a person signs in (required: `userAuthIdentities`)."""

from collections.abc import Sequence
from typing import Annotated, Final, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from models.aside import read_all
from models.base import Session, Stored

PHONE: Final = "phone"
EMAIL: Final = "email"
GUEST: Final = "guest"


class AuthIdentity(Stored):
    """One way of signing in. (`provider`, `provider_id`) is unique, so that nobody else can have
    the same.

    `provider_id` is the `sub` of an ID token, a phone number in E.164, or a canonical email
    address. `email` is what the provider last said, and `email_verified` whether it said that the
    mailbox is the person's.
    """

    user_id: PydanticObjectId
    provider: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
    provider_id: Annotated[str, Field(min_length=1, max_length=256)]
    email: str | None = None
    email_verified: bool = False

    class Settings:
        name = "authidentities"

    @classmethod
    async def find_by_provider(
        cls, provider: str, provider_id: str, *, session: Session = None
    ) -> Self | None:
        """The identity, None where nobody has it."""
        row = await cls.raw().find_one(
            {"provider": provider, "providerId": provider_id}, session=session
        )
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def of_user(cls, user_id: ObjectId, *, session: Session = None) -> list[Self]:
        """A user's identities, the first one first."""
        rows = await cls.raw().find({"userId": user_id}, session=session).sort("_id", 1).to_list()
        return read_all(cls, rows)

    @classmethod
    async def phones_of(cls, user_ids: Sequence[ObjectId]) -> list[Self]:
        """The identities of users that are phone numbers, the first ones first."""
        where = {"userId": {"$in": list(user_ids)}, "provider": PHONE}
        rows = await cls.raw().find(where).to_list()
        return sorted((cls.from_stored(row) for row in rows), key=lambda each: str(each.id))

    @classmethod
    async def methods_of(cls, user_id: ObjectId, *, session: Session = None) -> list[str]:
        """What `authMethods` of a user is: the providers of their identities, each once, the first
        one first."""
        return list(
            dict.fromkeys(each.provider for each in await cls.of_user(user_id, session=session))
        )
