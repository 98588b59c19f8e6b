"""Who is calling, and what they may do: one `authorize()` for every route."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal

from bson import ObjectId
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from app.errors import Forbidden, NotFound, Unauthenticated
from app.identity.access import Access, rule_of
from app.identity.standing import ENDED, SPARED, has_ended, hold_admin, hold_key, hold_no_admin, hold_session
from app.identity.tokens import InvalidToken, Tokens
from app.settings import Settings
from models.api_key import APP_SCOPES, PREFIX, ApiKey, hash_key
from models.base import now, parse_id
from models.clock import CLOCK
from models.living import is_living
from models.user import ADMIN, User, administers

_CACHED: Final = 10_000
_LONGEST: Final = 4096
_BEARER: Final = "bearer "
_READS: Final = frozenset({"GET", "HEAD"})
_WRITES_USERS: Final = frozenset({"users:write", None})
"""What rules ask for that let users be changed; None stands for users alone, about themselves. A token that a server
asked for writes nothing of an admin that outlives it, whatever the rule asks for."""
OWNERS_SCOPES: Final = frozenset(
    {"users:read", "users:write", "data:read", "data:write", "events:write", "analytics:read", "accounts:read"}
    | {"connections:read", "connections:write"}
)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: an API key with scopes, or a user by an access token.

    Either may be bound to one app, and a key to one account.

    `name` says who it is in records and logs: `key:<id>` or `user:<id>`. Of a user, `session_id` is the session that
    the token belongs to, None for a token that a server asked for; `by_admin` says
    of such a token that an admin asked, `key_id` which key did. `issued_at` is in Unix seconds.
    """

    kind: Literal["key", "user"]
    id: ObjectId
    app_id: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    roles: tuple[str, ...] = ()
    account_id: ObjectId | None = None
    session_id: ObjectId | None = None
    issued_at: float = 0
    by_admin: bool = False
    key_id: ObjectId | None = None

    @property
    def name(self) -> str:
        """`key:<id>` or `user:<id>`."""
        return f"{self.kind}:{self.id}"

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return ADMIN in self.scopes and self.app_id is None

    @property
    def claims_admin(self) -> bool:
        """Whether a token says that its user is an admin, which the database has to confirm for each call."""
        return self.kind == "user" and self.app_id is None and ADMIN in self.roles

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
        _check_scope(principal, scope)
        _authorize_bound(principal, account_id)
    else:
        _authorize_owner(principal, scope, user_id, app_id)
    if principal.app_id is not None and app_id is not None and app_id != principal.app_id:
        raise NotFound("there is no such app")


def _check_scope(key: Principal, scope: str) -> None:
    if scope not in key.scopes:
        raise Forbidden(f"this needs a key with the scope {scope}")
    if key.app_id is not None and scope not in APP_SCOPES:
        raise Forbidden(f"a key that is bound to an app reaches that app's data, and {scope} is more")


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
    _keep_to_app(principal, scope)


def _keep_to_app(user: Principal, scope: str | None) -> None:
    """Refuse a token that is bound to an app whatever is not that app's."""
    if user.app_id is not None and scope not in APP_SCOPES:
        raise Forbidden("this token is bound to one app and reaches that app's data, activity and events alone")


class Authenticator:
    """Turns an Authorization header into a principal, and remembers the answer for a few seconds."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self.tokens = tokens
        self._remember_for = settings.credential_cache_seconds
        self._known: dict[str, tuple[Principal, float]] = {}

    async def authenticate(self, authorization: str | None) -> Principal:
        """The caller whom a header names; whether a user is an admin is left to be asked, see `live`.

        Raises:
            Unauthenticated: there is none, or it is not valid (any more).
        """
        if authorization is None:
            raise Unauthenticated
        known = self._known.get(authorization)
        if known is not None and known[1] > CLOCK.time():
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
        )
        return principal, claims.expires_at

    async def _key(self, secret: str) -> tuple[Principal, float]:
        key = await ApiKey.find_by_secret(secret)
        if key is None or key.id is None or (key.expires_at and key.expires_at <= now()):
            raise Unauthenticated("the API key is not valid or has expired")
        await key.note_use()
        until = CLOCK.time() + self._remember_for
        for end in (key.expires_at, key.previous_until if key.hash != hash_key(secret) else None):
            if end is not None:
                until = min(until, end.timestamp())
        return Principal("key", key.id, key.app_id, frozenset(key.scopes), account_id=key.account_id), until


def _credential(authorization: str) -> str:
    if len(authorization) > _LONGEST or authorization[: len(_BEARER)].lower() != _BEARER:
        raise Unauthenticated
    return authorization[len(_BEARER) :].strip()


def authenticator(scope: Any) -> Authenticator:
    """The authenticator of the application that serves this request."""
    found: Authenticator = scope["app"].state.authenticator
    return found


async def live(principal: Principal, *, admins_only: bool = False) -> Principal:
    """The same user, whose session was seen not to have ended, with all scopes where they are an admin right now.

    Two queries by primary key. A token that a server asked for is an admin's only if an admin asked.
    A user who is gone is left to the route, which answers 404.

    Args:
        principal: the caller.
        admins_only: leave a user who is no admin as they are, whatever has become of their session: one query.

    Raises:
        Unauthenticated: the session has ended.
    """
    if principal.kind != "user":
        return principal
    user = await User.raw().find_one(
        {"_id": principal.id}, {"role": 1, "roles": 1, "sessionsEndedAt": 1, "accountId": 1}
    )
    if user is None:
        return replace(principal, scopes=frozenset())
    entitled = principal.app_id is None and (principal.session_id is not None or principal.by_admin)
    is_admin = entitled and administers(user)
    if admins_only and not is_admin:
        return principal
    if not await is_living(User, user):
        return replace(principal, scopes=frozenset())
    if await has_ended(user, principal.session_id, principal.issued_at, principal.key_id):
        raise Unauthenticated(ENDED)
    return replace(principal, scopes=frozenset({ADMIN}) if is_admin else frozenset())


def admit(principal: Principal, access: Access) -> None:
    """Hold a caller against the rule of an operation; what it is about is `authorize`'s to see.

    Raises:
        Forbidden: the rule lets none of their kind pass, or the key lacks the scope.
    """
    if principal.is_admin and (access.scope is not None or principal.kind == "user"):
        return
    if principal.kind == "key":
        if access.any_key:
            return
        if access.scope is None:
            raise Forbidden("this is for signed-in users, not for API keys")
        _check_scope(principal, access.scope)
    elif not access.owner:
        raise Forbidden(f"this needs an API key with the scope {access.scope}")
    elif not access.own_app or principal.session_id is None:
        _keep_to_app(principal, access.scope)


_scheme = HTTPBearer(auto_error=False, description="A user's access token, or an API key (`sk_…`).")


async def authenticate(scope: Any) -> Principal:
    """The caller of a request, looked up and held against the rule of its operation once, however often asked for.

    Hot routes are not FastAPI's, so they have no `route` in their scope and no rule is read for them.

    Raises:
        Unauthenticated: there are no credentials, bad ones, or several, or the session has ended.
        Forbidden: the rule lets none of their kind pass.
    """
    principal: Principal | None = scope.get("satchel.principal")
    if principal is None:
        principal = await authenticator(scope).authenticate(_authorization(scope))
        scope["satchel.caller"] = principal.name
        access = _rule(scope)
        if principal.kind == "user":
            principal = await _as_of_now(principal, access, scope)
        if access is not None and not access.public:
            admit(principal, access)
            if scope["method"] not in _READS:
                _hold_rights(principal, access, scope)
                if access.scope in _WRITES_USERS or (principal.kind == "user" and access.live):
                    await spare_admins(principal, _named_user(principal, access, scope))
        scope["satchel.principal"] = principal
    return principal


def _hold_rights(caller: Principal, access: Access, scope: Any) -> None:
    """Have what lets the caller write looked at again within the write: keys by the scope `admin` alone, since others
    are remembered for some seconds anyway."""
    if caller.kind == "key" and access.scope == ADMIN:
        hold_key(caller.id)
    if caller.kind == "user" and (access.live or caller.is_admin):
        hold_session(caller.id, caller.session_id, caller.issued_at, caller.key_id)
        if caller.is_admin and access.scope is not None and not _is(caller, scope.get("path_params", {}).get("userId")):
            hold_admin(caller.id)


async def spare_admins(caller: Principal, user_id: ObjectId | None) -> None:
    """See that nobody but an admin changes an admin, now and in the write; of who is not there nothing is said.

    Raises:
        Forbidden: the user is an admin, and the caller is none.
    """
    if user_id is None or speaks_for_admins(caller):
        return
    hold_no_admin(user_id)
    user = await User.raw().find_one({"_id": user_id}, {"role": 1, "roles": 1})
    refuse_admin(caller, user is not None and administers(user))


def refuse_admin(caller: Principal, is_admin: bool) -> None:
    """The same of a user who was read already."""
    if is_admin and not speaks_for_admins(caller):
        raise Forbidden(SPARED)


def speaks_for_admins(caller: Principal) -> bool:
    """Whether the caller is an admin, or a person about themselves by a session of their own.

    A token that a server asked for before its user became an admin is neither.
    """
    return caller.is_admin or (caller.kind == "user" and caller.session_id is not None)


def _named_user(caller: Principal, access: Access, scope: Any) -> ObjectId | None:
    """Whom a request writes for: the path's user, else the user who calls. Another user's own is `authorize`'s."""
    named = scope.get("path_params", {}).get("userId")
    if caller.kind == "key":
        return parse_id(named) if isinstance(named, str) else None
    return caller.id if named is None or _is(caller, named) or access.scope not in _WRITES_USERS else None


def _is(caller: Principal, named: object) -> bool:
    """Whether a path names the caller: as `me`, or by their id, in whatever case its digits are."""
    return named == "me" or (isinstance(named, str) and parse_id(named) == caller.id)


async def _as_of_now(user: Principal, access: Access | None, scope: Any) -> Principal:
    """The user as the database has them, where that matters: not where they ask for what is theirs anyway.

    Whether they are an admin is then asked for each call, whatever their token says, so that a grant and its end hold
    at once. Hot routes that name no user are about the caller alone.
    """
    if user.claims_admin or (access is not None and not access.public and (access.live or not access.owner)):
        return await live(user)
    named = scope.get("path_params", {}).get("userId")
    is_own = _is(user, named) if named is not None else access is None or access.public
    return user if is_own or user.app_id is not None else await live(user, admins_only=True)


def _rule(scope: Any) -> Access | None:
    route = scope.get("route")
    return None if route is None else rule_of(scope["method"], getattr(route, "path", ""))


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
