"""Who is calling, and what they may do: one `authorize()` for every route."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from bson import ObjectId
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from app.errors import Forbidden, NotFound, Unauthenticated
from app.settings import Settings
from app.tokens import InvalidToken, Tokens
from models.api_key import APP_SCOPES, PREFIX, ApiKey
from models.base import parse_id

_CACHED: Final = 10_000
_LONGEST: Final = 4096
_BEARER: Final = "bearer "
OWNERS_SCOPES: Final = frozenset(
    {"users:read", "users:write", "data:read", "data:write", "events:write", "analytics:read", "accounts:read"}
    | {"connections:read", "connections:write"}
)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: an API key with scopes, or a user by an access token.

    Either may be bound to one app, and a key to one account.

    `name` says who it is in records and logs: `key:<id>` or `user:<id>`.
    """

    kind: Literal["key", "user"]
    id: ObjectId
    app_id: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    roles: tuple[str, ...] = ()
    account_id: ObjectId | None = None

    @property
    def name(self) -> str:
        """`key:<id>` or `user:<id>`."""
        return f"{self.kind}:{self.id}"

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return "admin" in self.scopes and self.app_id is None

    def resolve(self, user: str) -> ObjectId:
        """The user id that a path names; `me` is the caller's own.

        Raises:
            NotFound: it is malformed, or an API key says `me`.
        """
        user_id = self.id if user == "me" and self.kind == "user" else parse_id(user)
        if user_id is None:
            raise NotFound("there is no such user")
        return user_id


def authorize(
    principal: Principal,
    scope: str,
    *,
    user_id: ObjectId | None = None,
    app_id: str | None = None,
    account_id: ObjectId | None = None,
) -> None:
    """Let the caller pass, or raise.

    Args:
        principal: who calls.
        scope: what a key needs; a user needs none for what is their own.
        user_id: whose data it is about; None for a matter of no one user.
        app_id: which app's data it is about; None for a matter of no one app.
        account_id: which account's data it is about; None for a matter of no one account, which a key that is bound
            to one does not reach.

    Raises:
        Forbidden: the key lacks the scope, or a user asks for what only keys may do.
        NotFound: the data is another user's, another app's or another account's.
    """
    if principal.is_admin:
        return
    if principal.kind == "key":
        if scope not in principal.scopes:
            raise Forbidden(f"this needs a key with the scope {scope}")
        if principal.app_id is not None and scope not in APP_SCOPES:
            raise Forbidden(f"a key that is bound to an app reaches that app's data, and {scope} is more")
        _authorize_bound(principal, account_id)
    else:
        _authorize_owner(principal, scope, user_id, app_id)
    if principal.app_id is not None and app_id is not None and app_id != principal.app_id:
        raise NotFound("there is no such app")


def _authorize_bound(principal: Principal, account_id: ObjectId | None) -> None:
    if principal.account_id is None or principal.account_id == account_id:
        return
    if account_id is None:
        raise Forbidden("this key is bound to one account and reaches nothing else")
    raise NotFound("there is no such account")


def may(principal: Principal, scope: str, *, user_id: ObjectId) -> bool:
    """Whether `authorize` would let the caller pass."""
    try:
        authorize(principal, scope, user_id=user_id)
    except (Forbidden, NotFound):
        return False
    return True


def _authorize_owner(principal: Principal, scope: str, user_id: ObjectId | None, app_id: str | None) -> None:
    if user_id is None or scope not in OWNERS_SCOPES:
        raise Forbidden(f"this needs an API key with the scope {scope}")
    if user_id != principal.id:
        raise NotFound("there is no such user")
    if principal.app_id is not None and app_id is None and scope == "users:write":
        raise Forbidden("this token is bound to one app and changes nothing else")


class Authenticator:
    """Turns an Authorization header into a principal, and remembers the answer for a few seconds."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self.tokens = tokens
        self._remember_for = settings.credential_cache_seconds
        self._known: dict[str, tuple[Principal, float]] = {}

    async def authenticate(self, authorization: str | None) -> Principal:
        """The caller whom a header names.

        Raises:
            Unauthenticated: there is none, or it is not valid (any more).
        """
        if authorization is None:
            raise Unauthenticated
        known = self._known.get(authorization)
        if known is not None and known[1] > time.time():
            return known[0]
        principal, expires_at = await self._look_up(_credential(authorization))
        while len(self._known) >= _CACHED:
            del self._known[next(iter(self._known))]
        self._known[authorization] = (principal, expires_at)
        return principal

    def forget(self, key_id: ObjectId | None) -> None:
        """Honour a key no longer, from now on in this process."""
        self._known = {header: known for header, known in self._known.items() if known[0].id != key_id}

    async def _look_up(self, credential: str) -> tuple[Principal, float]:
        if credential.startswith(PREFIX):
            return await self._key(credential)
        return self._user(credential)

    def _user(self, token: str) -> tuple[Principal, float]:
        try:
            claims = self.tokens.verify(token)
        except InvalidToken:
            raise Unauthenticated("the access token is not valid or has expired") from None
        return Principal("user", claims.user_id, claims.app_id, roles=claims.roles), claims.expires_at

    async def _key(self, secret: str) -> tuple[Principal, float]:
        key = await ApiKey.find_by_secret(secret)
        if key is None or key.id is None or (key.expires_at and key.expires_at <= datetime.now(UTC)):
            raise Unauthenticated("the API key is not valid or has expired")
        until = time.time() + self._remember_for
        if key.expires_at:
            until = min(until, key.expires_at.timestamp())
        return Principal("key", key.id, key.app_id, frozenset(key.scopes), account_id=key.account_id), until


def _credential(authorization: str) -> str:
    if len(authorization) > _LONGEST or authorization[: len(_BEARER)].lower() != _BEARER:
        raise Unauthenticated
    return authorization[len(_BEARER) :].strip()


def authenticator(scope: Any) -> Authenticator:
    """The authenticator of the application that serves this request."""
    found: Authenticator = scope["app"].state.authenticator
    return found


_scheme = HTTPBearer(auto_error=False, description="A user's access token, or an API key (`sk_…`).")


async def authenticate(scope: Any) -> Principal:
    """The caller of a request, looked up once however often it is asked for.

    Raises:
        Unauthenticated: there are no credentials, bad ones, or several.
    """
    principal: Principal | None = scope.get("satchel.principal")
    if principal is None:
        principal = await authenticator(scope).authenticate(_authorization(scope))
        scope["satchel.principal"] = principal
        scope["satchel.caller"] = principal.name
    return principal


def _authorization(scope: Any) -> str | None:
    """The one Authorization header; two that are read differently by a proxy and by us would be a hole."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) > 1:
        raise Unauthenticated("send one Authorization header")
    return values[0].decode("latin-1") if values else None


async def _caller(request: Request, _: Annotated[Any, Depends(_scheme)] = None) -> Principal:
    return await authenticate(request.scope)


def asks_for_caller(dependant: Any) -> bool:
    """Whether a route's dependencies (FastAPI's `Dependant`) name its caller."""
    return dependant.call is _caller or any(map(asks_for_caller, dependant.dependencies))


Caller = Annotated[Principal, Depends(_caller)]
"""The caller of a route, authenticated."""
