"""The caller of a request: looked up once, held against the rule of its operation, and as the
database has them now."""

from dataclasses import replace
from typing import Annotated, Any, Final

from bson import ObjectId
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from app.errors import Forbidden, Unauthenticated
from app.identity.access import Access, Rules
from app.identity.authenticator import authenticator
from app.identity.principal import Principal, check_scope, keep_to_app
from app.identity.standing import (
    AT_REST,
    ENDED,
    SPARED,
    has_ended,
    hold_admin,
    hold_key,
    hold_no_admin,
    hold_session,
)
from models.base import parse_id
from models.living import is_living
from models.user import ADMIN, INACTIVE, User, administers

_READS: Final = frozenset({"GET", "HEAD"})
_WRITES_USERS: Final = frozenset({"users:write", None})
"""What rules ask for that let users be changed; None stands for users alone, about themselves. A
token that a server asked for writes nothing of an admin that outlives it, whatever the rule asks
for."""


async def live(principal: Principal, *, admins_only: bool = False) -> Principal:
    """The same user, whose session was seen not to have ended, with all scopes where they are an
    admin right now.

    Two queries by primary key. A token that a server asked for is an admin's only if an admin
    asked. A user who is gone is left to the route, which answers 404.

    Args:
        principal: the caller.
        admins_only: leave a user who is no admin as they are, whatever has become of their session:
            one query.

    Raises:
        Unauthenticated: the session has ended, or the person is inactive.
    """
    if principal.kind != "user":
        return principal
    user = await User.raw().find_one(
        {"_id": principal.id},
        {"role": 1, "roles": 1, "sessionsEndedAt": 1, "accountId": 1, "status": 1},
    )
    if user is None:
        return replace(principal, scopes=frozenset())
    if user.get("status") == INACTIVE:
        raise Unauthenticated(AT_REST)
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
        check_scope(principal, access.scope)
    elif not access.owner:
        raise Forbidden(f"this needs an API key with the scope {access.scope}")
    elif not (access.of_app or (access.own_app and principal.session_id is not None)):
        keep_to_app(principal, access.scope)


_scheme = HTTPBearer(auto_error=False, description="A user's access token, or an API key (`sk_…`).")


async def authenticate(scope: Any) -> Principal:
    """The caller of a request, looked up and held against the rule of its operation once, however
    often asked for.

    Hot routes are not FastAPI's, so they have no `route` in their scope and no rule is read for
    them.

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
    """Have what lets the caller write looked at again within the write: keys by the scope `admin`
    alone, since others are remembered for some seconds anyway."""
    if caller.kind == "key" and access.scope == ADMIN:
        hold_key(caller.id)
    if caller.kind == "user" and (access.live or caller.is_admin):
        hold_session(caller.id, caller.session_id, caller.issued_at, caller.key_id)
        if (
            caller.is_admin
            and access.scope is not None
            and not _is(caller, scope.get("path_params", {}).get("userId"))
        ):
            hold_admin(caller.id)


async def spare_admins(caller: Principal, user_id: ObjectId | None) -> None:
    """See that nobody but an admin changes an admin, now and in the write; of who is not there
    nothing is said.

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
    """Whom a request writes for: the path's user, else the user who calls. Another user's own is
    `authorize`'s."""
    named = scope.get("path_params", {}).get("userId")
    if caller.kind == "key":
        return parse_id(named) if isinstance(named, str) else None
    return (
        caller.id
        if named is None or _is(caller, named) or access.scope not in _WRITES_USERS
        else None
    )


def _is(caller: Principal, named: object) -> bool:
    """Whether a path names the caller: as `me`, or by their id, in whatever case its digits are."""
    return named == "me" or (isinstance(named, str) and parse_id(named) == caller.id)


async def _as_of_now(user: Principal, access: Access | None, scope: Any) -> Principal:
    """The user as the database has them, where that matters: not where they ask for what is theirs
    anyway.

    Whether they are an admin is then asked for each call, whatever their token says, so that a
    grant and its end hold at once. Hot routes that name no user are about the caller alone.
    """
    if user.claims_admin or (
        access is not None and not access.public and (access.live or not access.owner)
    ):
        return await live(user)
    named = scope.get("path_params", {}).get("userId")
    is_own = _is(user, named) if named is not None else access is None or access.public
    return user if is_own or user.app_id is not None else await live(user, admins_only=True)


def _rule(scope: Any) -> Access | None:
    route = scope.get("route")
    if route is None:
        return None
    rules: Rules = scope["app"].state.rules
    return rules.of(scope["method"], getattr(route, "path", ""))


def _authorization(scope: Any) -> str | None:
    """The one Authorization header; two that are read differently by a proxy and by us would be a
    hole."""
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
