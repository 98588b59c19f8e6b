"""Authorization headers and the principals whom they name, remembered for a few seconds."""

from math import inf
from typing import Any, Final

from bson import ObjectId
from cachetools import LRUCache

from app.errors import Unauthenticated
from app.identity.principal import Principal
from app.identity.tokens import InvalidToken, Tokens
from app.settings import Settings
from models.api_key import PREFIX, ApiKey, hash_key
from models.base import now, parse_id
from models.clock import CLOCK

_CACHED: Final = 10_000
_LONGEST: Final = 4096
_BEARER: Final = "bearer "


class Authenticator:
    """Turns an Authorization header into a principal, and remembers the answer for a few
    seconds."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self.tokens = tokens
        self._remember_for = settings.credential_cache_seconds
        self._known: LRUCache[str, tuple[Principal, float]] = LRUCache(_CACHED)

    async def authenticate(self, authorization: str | None) -> Principal:
        """The caller whom a header names; whether a user is an admin is left to be asked, see
        `live`.

        Raises:
            Unauthenticated: there is none, or it is not valid (any more).
        """
        if authorization is None:
            raise Unauthenticated
        known = self._known.get(authorization)
        if known is not None and known[1] > CLOCK.time():
            return known[0]
        principal, expires_at = await self._look_up(_credential(authorization))
        self._known[authorization] = (principal, expires_at)
        return principal

    def forget(self, key_id: ObjectId | None) -> None:
        """Honour a key no longer, from now on in this process."""
        of_key = [header for header, known in self._known.items() if known[0].id == key_id]
        for header in of_key:
            del self._known[header]

    async def _look_up(self, credential: str) -> tuple[Principal, float]:
        if credential.startswith(PREFIX):
            return await self._key(credential)
        if credential.count(".") != 2:  # no JWT (RFC 7519)
            raise Unauthenticated("there is no such API key, and it is no access token")
        return self._user(credential)

    def _user(self, token: str) -> tuple[Principal, float]:
        try:
            claims = self.tokens.verify(token)
        except InvalidToken:
            raise Unauthenticated("the access token is not valid or has expired") from None
        principal = Principal(
            "user",
            claims.user_id,
            claims.app_id,
            roles=claims.roles,
            session_id=parse_id(claims.session_id),
            issued_at=claims.issued_at,
            by_admin=claims.by_admin,
            key_id=claims.key_id,
            expires_at=claims.expires_at,
        )
        return principal, claims.expires_at

    async def _key(self, secret: str) -> tuple[Principal, float]:
        key = await ApiKey.find_by_secret(secret)
        if key is None or key.id is None or (key.expires_at and key.expires_at <= now()):
            raise Unauthenticated("the API key is not valid or has expired")
        await key.note_use()
        ends = (key.expires_at, key.previous_until if key.hash != hash_key(secret) else None)
        expires_at = min((end.timestamp() for end in ends if end is not None), default=inf)
        scopes = frozenset(key.scopes)
        principal = Principal(
            "key", key.id, key.app_id, scopes, account_id=key.account_id, expires_at=expires_at
        )
        return principal, min(CLOCK.time() + self._remember_for, expires_at)


def _credential(authorization: str) -> str:
    if len(authorization) > _LONGEST or authorization[: len(_BEARER)].lower() != _BEARER:
        raise Unauthenticated
    return authorization[len(_BEARER) :].strip()


def authenticator(scope: Any) -> Authenticator:
    """The authenticator of the application that serves this request."""
    found: Authenticator = scope["app"].state.authenticator
    return found
