"""API keys: how servers, scripts and dashboards call; only a hash of each is stored."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field
from pymongo import ReturnDocument

from models.app import AppId
from models.base import Fields, Session, Stored, Timestamp, now

Scope = Literal[
    "admin",
    "users:read",
    "users:write",
    "users:import",
    "users:merge",
    "sessions:write",
    "data:read",
    "data:write",
    "events:write",
    "analytics:read",
    "accounts:read",
    "accounts:write",
    "projects:read",
    "projects:write",
    "connections:read",
    "connections:write",
]
PREFIX: Final = "sk_"
NOTED_EVERY: Final = timedelta(minutes=1)
APP_SCOPES: Final = frozenset(
    {"sessions:write", "data:read", "data:write", "events:write", "analytics:read"}
)
"""What a key that is bound to an app may have: everything else reaches people, whatever app they
use."""


class ApiKeyContent(Fields):
    """What is asked for when a key is made."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=16)]
    app_id: Annotated[AppId | None, Field(description="The one app that the key reaches.")] = None
    account_id: Annotated[
        PydanticObjectId | None, Field(description="The one account that the key reaches.")
    ] = None
    expires_at: Timestamp | None = None
    events_per_second: Annotated[
        int | None,
        Field(
            ge=1,
            description="Write keys: events a second and process; None: the deployment's setting.",
        ),
    ] = None
    events_per_day: Annotated[
        int | None,
        Field(ge=1, description="Write keys: events a day (UTC); None: the deployment's setting."),
    ] = None


class ApiKey(ApiKeyContent, Stored):
    """A key: 256 random bits, so a plain SHA-256 of it cannot be turned back.

    After a rotation the secret before it (`previous_hash`) is honoured until `previous_until`.
    """

    GUARDED: ClassVar[bool] = True

    hash: Annotated[str, Field(repr=False)]
    previous_hash: Annotated[str | None, Field(repr=False)] = None
    previous_until: Timestamp | None = None
    last_used_at: Timestamp | None = None
    guard: int = 0

    class Settings:
        name = "apikeys"

    @classmethod
    def issue(cls, content: ApiKeyContent) -> tuple[Self, str]:
        """A new key, not stored yet, and its secret, which is nowhere else."""
        secret = PREFIX + secrets.token_urlsafe(32)
        return cls(hash=hash_key(secret), **content.model_dump(by_alias=False)), secret

    @classmethod
    async def find_by_secret(cls, secret: str) -> Self | None:
        """The key with this secret, None where there is none; the caller looks at `expires_at`.

        A secret that was rotated away is found until its overlap is over.
        """
        hashed = hash_key(secret)
        row = await cls.raw().find_one({"hash": hashed})
        if row is None:
            row = await cls.raw().find_one(
                {"previousHash": hashed, "previousUntil": {"$gt": now()}}
            )
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def held_among(cls, ids: Collection[ObjectId]) -> set[ObjectId]:
        """Those of these keys that are neither revoked nor over, by one query."""
        where: dict[str, Any] = {"_id": {"$in": list(ids)}, "expiresAt": {"$not": {"$lte": now()}}}
        return {row["_id"] async for row in cls.raw().find(where, {"_id": 1})}

    @classmethod
    async def rotate(
        cls, key_id: ObjectId, overlap: timedelta, *, session: Session = None
    ) -> tuple[Self, str] | None:
        """Give a key a new secret, in one atomic operation; the one before is honoured for
        `overlap` more.

        Returns:
            The key and its new secret, which is nowhere else; None where there is no such key.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        moment = now()
        change: dict[str, Any] = {
            "previousHash": "$hash",
            "previousUntil": moment + overlap,
            "hash": hash_key(secret),
            "updatedAt": moment,
            "version": {"$add": ["$version", 1]},
        }
        row = await cls.raw().find_one_and_update(
            {"_id": key_id},
            [{"$set": change}],
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return None if row is None else (cls.from_stored(row), secret)

    async def note_use(self) -> None:
        """Note that the key was used just now, written at most once a minute; moves no version."""
        moment = now()
        if self.last_used_at is not None and moment - self.last_used_at < NOTED_EVERY:
            return
        where = {"_id": self.id, "lastUsedAt": {"$not": {"$gt": moment - NOTED_EVERY}}}
        await self.raw().update_one(where, {"$set": {"lastUsedAt": moment}})

    @classmethod
    async def forget_previous(cls, moment: datetime) -> int:
        """Remove the hashes of secrets whose overlap is over; how many there were."""
        result = await cls.raw().update_many(
            {"previousUntil": {"$lte": moment}},
            {"$unset": {"previousHash": "", "previousUntil": ""}},
        )
        return result.modified_count


def hash_key(secret: str) -> str:
    """The stored form of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()
