"""Who is calling, and what they may do: one `authorize()` for every route."""

from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal

from bson import ObjectId

from app.errors import Forbidden, NotFound
from models.api_key import APP_SCOPES
from models.base import parse_id
from models.user import ADMIN

OWNERS_SCOPES: Final = frozenset(
    {
        "users:read",
        "users:write",
        "data:read",
        "data:write",
        "events:write",
        "analytics:read",
        "accounts:read",
    }
    | {"connections:read", "connections:write"}
)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: an API key with scopes, or a user by an access token.

    Either may be bound to one app, and a key to one account.

    `name` says who it is in records and logs: `key:<id>` or `user:<id>`. Of a user, `session_id` is
        the session that
    the token belongs to, None for a token that a server asked for; `by_admin` says
    of such a token that an admin asked, `key_id` which key did. `issued_at` and
    `expires_at`, when the credential is over, are in Unix seconds.
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
    expires_at: float = inf

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
        """Whether a token says that its user is an admin, which the database has to confirm for
        each call."""
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
        account_id: which account's data it is about; None for a matter of no one account, which a
            key that is bound to one does not reach.

    Raises:
        Forbidden: the key lacks the scope, or a user asks for what only keys may do.
        NotFound: the data is another user's, another app's or another account's.
    """
    if principal.is_admin:
        return
    if principal.kind == "key":
        check_scope(principal, scope)
        _authorize_bound(principal, account_id)
    else:
        _authorize_owner(principal, scope, user_id, app_id)
    if principal.app_id is not None and app_id is not None and app_id != principal.app_id:
        raise NotFound("there is no such app")


def check_scope(key: Principal, scope: str) -> None:
    """Refuse a key that lacks the scope, or is bound to an app and wants more than that app's.

    Raises:
        Forbidden: as said.
    """
    if scope not in key.scopes:
        raise Forbidden(f"this needs a key with the scope {scope}")
    if key.app_id is not None and scope not in APP_SCOPES:
        raise Forbidden(
            f"a key that is bound to an app reaches that app's data, and {scope} is more"
        )


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


def _authorize_owner(
    principal: Principal, scope: str, user_id: ObjectId | None, app_id: str | None
) -> None:
    if user_id is None or scope not in OWNERS_SCOPES:
        raise Forbidden(f"this needs an API key with the scope {scope}")
    if user_id != principal.id:
        raise NotFound("there is no such user")
    keep_to_app(principal, scope)


def keep_to_app(user: Principal, scope: str | None) -> None:
    """Refuse a token that is bound to an app whatever is not that app's."""
    if user.app_id is not None and scope not in APP_SCOPES:
        raise Forbidden(
            "this token is bound to one app and reaches that app's data, activity and events alone"
        )
