"""Who may call what: the rules that routes declare, which the check, `/openapi.json` and the tests
all read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from models.api_key import APP_SCOPES


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call an operation. Keys with the scope `admin` have every scope; users who are admins
    may call each one.

    Attributes:
        scope: what an API key needs; None where no key may.
        owner: users may, about themselves and what is theirs; anything else is 404.
        public: no credentials are asked for.
        live: a user's session is looked up for each call, so that one that was ended can do this no
            more. Elsewhere its access token is honoured until it expires.
        signed: public, and an outside system shows by a signature who it is.
        people: who `owner` is, for a person.
        any_key: every API key may, whatever its scopes, about what is its own.
        own_app: tokens of a session at one app may as well, about the sessions at that app.
            Elsewhere a token that is bound to an app reaches what keys that are bound to it do: its
            data, activity and events.
        of_app: every token that is bound to an app may as well, about what is that app's.
    """

    scope: str | None = None
    owner: bool = False
    public: bool = False
    live: bool = False
    signed: bool = False
    people: str = "users, about themselves"
    any_key: bool = False
    own_app: bool = False
    of_app: bool = False

    @property
    def sentence(self) -> str:
        """The rule for a person."""
        if self.signed:
            return "The outside system that signs the request."
        if self.public:
            return "Anybody, without credentials."
        keys = None if self.scope is None else f"API keys with the scope `{self.scope}`"
        people = self.people if self.owner else None
        admins = "admins" if self.any_key else "users who are admins"
        who = "; ".join(part for part in (keys, people, admins) if part)
        return (
            f"{who[0].upper()}{who[1:]}.{' The session must not have ended.' if self.live else ''}"
        )

    def extension(self) -> dict[str, Any]:
        """The rule as `x-satchel-access` of the operation."""
        told = {
            "scope": self.scope,
            "owner": self.owner,
            "public": self.public,
            "liveSession": self.live,
        }
        return {**told, "anyKey": True} if self.any_key else told


PUBLIC: Final = Access(public=True)
ADMIN: Final = Access("admin", live=True)
SELF: Final = Access(owner=True, live=True)
"""Users alone: their identities and invitations."""
SESSIONS: Final = Access(owner=True, live=True, own_app=True)
"""Users alone: their sessions."""


def keys(scope: str) -> Access:
    """API keys with this scope."""
    return Access(scope)


def owner_or(scope: str, *, live: bool = False) -> Access:
    """Users about themselves, and API keys with this scope about everybody."""
    return Access(scope, owner=True, live=live)


MEMBERS: Final = Access(
    "accounts:read", owner=True, people="users of the account, about what is theirs"
)
"""The users of an account see it, their cards and the spending profiles on those; anything else is
404."""

PROJECT_MEMBERS: Final = Access("projects:read", owner=True, people="the project's members")
PROJECT_ADMINS: Final = Access("projects:write", owner=True, people="the project's admins")
"""Who is no member is told 404, a member who may only read 403."""

SIGNED: Final = Access(public=True, signed=True)


def _outlives_the_token(operation: str, access: Access) -> bool:
    """Whether a person's write stays when their session is over, and is more than an app's data,
    activity or events."""
    return (
        access.owner
        and not access.public
        and not operation.startswith("GET ")
        and access.scope not in APP_SCOPES
    )


def in_force(operation: str, access: Access) -> Access:
    """The rule as it is kept: a person's writes that outlive their token ask whether the session
    lives.

    Args:
        operation: `GET /v1/users`.
        access: as its route declares it.
    """
    return replace(access, live=True) if _outlives_the_token(operation, access) else access


UNRULED: Final = ("/openapi.json", "/docs", "/console", "/favicon.ico")
"""Pages, and what they load: public, or let in by the console's own sign-in."""


class AccessError(Exception):
    """An operation has no rule, so nobody could say who may call it: this ends the program at its
    start."""


class Rules:
    """Who may call what in one application, by method and path template: what each route declares,
    gathered.

    Raises:
        AccessError: an operation has no rule.
    """

    def __init__(self, rules: Mapping[str, Access], operations: Iterable[str]) -> None:
        self.by_operation = dict(rules)
        bare = sorted(
            name
            for name in operations
            if name not in rules and not _is_page(name.partition(" ")[2])
        )
        if bare:
            raise AccessError(f"no rule is declared for {', '.join(bare)}: `access=` of the route")

    def of(self, method: str, path: str) -> Access | None:
        """The rule of an operation, None for a page.

        Raises:
            AccessError: it has none.
        """
        found = self.by_operation.get(f"{'GET' if method == 'HEAD' else method} {path}")
        if found is None and not _is_page(path):
            raise AccessError(f"no rule is declared for {method} {path}")
        return found

    def describe(self, document: dict[str, Any]) -> None:
        """Say of each operation of an OpenAPI document who may call it."""
        for path, item in document["paths"].items():
            for method, operation in item.items():
                access = self.by_operation.get(f"{method.upper()} {path}")
                if access is None:
                    continue
                operation["x-satchel-access"] = access.extension()
                told = operation.get("description", "")
                operation["description"] = f"{told}\n\n**Who may:** {access.sentence}".strip()


def _is_page(path: str) -> bool:
    return any(path == page or path.startswith(f"{page}/") for page in UNRULED)
