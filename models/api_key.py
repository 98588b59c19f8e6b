"""API keys: how servers, scripts and dashboards call; only a hash of each is stored."""

import hashlib
import secrets
from typing import Annotated, Final, Literal, Self

from beanie import PydanticObjectId
from pydantic import Field

from models.app import AppId
from models.base import Fields, Stored, Timestamp

Scope = Literal[
    "admin",
    "users:read",
    "users:write",
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
APP_SCOPES: Final = frozenset({"sessions:write", "data:read", "data:write", "events:write", "analytics:read"})
"""What a key that is bound to an app may have: everything else reaches people, whatever app they use."""


class ApiKeyContent(Fields):
    """What is asked for when a key is made."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=16)]
    app_id: Annotated[AppId | None, Field(description="The one app that the key reaches.")] = None
    account_id: Annotated[PydanticObjectId | None, Field(description="The one account that the key reaches.")] = None
    expires_at: Timestamp | None = None
    events_per_second: Annotated[
        int | None, Field(ge=1, description="Write keys: events a second and process; None: the deployment's setting.")
    ] = None
    events_per_day: Annotated[
        int | None, Field(ge=1, description="Write keys: events a day (UTC); None: the deployment's setting.")
    ] = None


class ApiKey(ApiKeyContent, Stored):
    """A key: 256 random bits, so a plain SHA-256 of it cannot be turned back."""

    hash: Annotated[str, Field(repr=False)]

    class Settings:
        name = "apikeys"

    @classmethod
    def issue(cls, content: ApiKeyContent) -> tuple[Self, str]:
        """A new key, not stored yet, and its secret, which is nowhere else."""
        secret = PREFIX + secrets.token_urlsafe(32)
        return cls(hash=hash_key(secret), **content.model_dump(by_alias=False)), secret

    @classmethod
    async def find_by_secret(cls, secret: str) -> Self | None:
        """The key with this secret, None where there is none; the caller looks at `expires_at`."""
        row = await cls.raw().find_one({"hash": hash_key(secret)})
        return None if row is None else cls.from_stored(row)


def hash_key(secret: str) -> str:
    """The stored form of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()
