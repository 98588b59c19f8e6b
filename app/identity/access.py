"""Who may call what: one line for each operation, which the check, `/openapi.json` and the tests all read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from models.api_key import APP_SCOPES


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call an operation. Keys with the scope `admin` have every scope; users who are admins may call each one.

    Attributes:
        scope: what an API key needs; None where no key may.
        owner: users may, about themselves and what is theirs; anything else is 404.
        public: no credentials are asked for.
        live: a user's session is looked up for each call, so that one that was ended can do this no more. Elsewhere
            its access token is honoured until it expires.
        signed: public, and an outside system shows by a signature who it is.
        people: who `owner` is, for a person.
        any_key: every API key may, whatever its scopes, about what is its own.
        own_app: tokens of a session at one app may as well, about the sessions at that app. Elsewhere a token that is
            bound to an app reaches what keys that are bound to it do: its data, activity and events.
    """

    scope: str | None = None
    owner: bool = False
    public: bool = False
    live: bool = False
    signed: bool = False
    people: str = "users, about themselves"
    any_key: bool = False
    own_app: bool = False

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
        return f"{who[0].upper()}{who[1:]}.{' The session must not have ended.' if self.live else ''}"

    def extension(self) -> dict[str, Any]:
        """The rule as `x-satchel-access` of the operation."""
        told = {"scope": self.scope, "owner": self.owner, "public": self.public, "liveSession": self.live}
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


MEMBERS: Final = Access("accounts:read", owner=True, people="users of the account, about what is theirs")
"""The users of an account see it, their cards and the spending profiles on those; anything else is 404."""

PROJECT_MEMBERS: Final = Access("projects:read", owner=True, people="the project's members")
PROJECT_ADMINS: Final = Access("projects:write", owner=True, people="the project's admins")
"""Who is no member is told 404, a member who may only read 403."""

SIGNED: Final = Access(public=True, signed=True)

_QUERIES: Final = (
    *("event-counts", "category-counts", "active-users", "top", "sessions", "funnel", "retention", "live"),
    "error-rate",
)
_SEGMENT: Final = ("track", "identify", "page", "screen", "group", "alias")
_PROJECT: Final = "/v1/projects/{projectId}"
_ACCOUNT: Final = "/v1/accounts/{accountId}"
_DATA: Final = "/v1/users/{userId}/apps/{appId}/data"

_RULES: Final[Mapping[str, Access]] = {
    "GET /livez": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /metrics": PUBLIC,
    "GET /.well-known/jwks.json": PUBLIC,
    # users and what is one to one with them
    "POST /v1/users": keys("users:write"),
    "GET /v1/users": keys("users:read"),
    "GET /v1/users/{userId}": owner_or("users:read"),
    "PATCH /v1/users/{userId}": owner_or("users:write", live=True),
    "DELETE /v1/users/{userId}": owner_or("users:write", live=True),
    "GET /v1/users/{userId}/complete": owner_or("users:read"),
    "GET /v1/users/{userId}/deletion": owner_or("users:write"),
    "GET /v1/users/{userId}/deletion-plan": owner_or("users:read"),
    "GET /v1/users/{userId}/profile": owner_or("users:read"),
    "PUT /v1/users/{userId}/profile": owner_or("users:write"),
    "PATCH /v1/users/{userId}/profile": owner_or("users:write"),
    "GET /v1/users/{userId}/preferences": owner_or("users:read"),
    "PUT /v1/users/{userId}/preferences": owner_or("users:write"),
    "PATCH /v1/users/{userId}/preferences": owner_or("users:write"),
    # what they did, and what apps keep for them
    "POST /v1/users/{userId}/logins": owner_or("data:write"),
    "GET /v1/users/{userId}/activity": owner_or("data:read"),
    "POST /v1/users/{userId}/activity": owner_or("data:write"),
    f"GET {_DATA}": owner_or("data:read"),
    f"GET {_DATA}/{{dataKey}}": owner_or("data:read"),
    f"PUT {_DATA}/{{dataKey}}": owner_or("data:write"),
    f"PATCH {_DATA}/{{dataKey}}": owner_or("data:write"),
    f"DELETE {_DATA}/{{dataKey}}": owner_or("data:write"),
    # analytics
    "POST /v1/analytics/events": owner_or("events:write"),
    **{f"GET /v1/analytics/{query}": owner_or("analytics:read") for query in _QUERIES},
    "GET /v1/analytics/quarantine": keys("analytics:read"),
    "GET /v1/analytics/joins": keys("analytics:read"),
    **{f"POST /v1/analytics/joins/{decision}": keys("users:write") for decision in ("accept", "refuse", "undo")},
    "GET /v1/apps/{appId}/external-ids/{externalId}": keys("users:read"),
    "PUT /v1/apps/{appId}/external-ids/{externalId}": keys("users:write"),
    "POST /v1/batch": keys("events:write"),
    **{f"POST /v1/{kind}": keys("events:write") for kind in _SEGMENT},
    "GET /v1/projects/{writeKey}/settings": PUBLIC,
    "GET /sourceConfig": PUBLIC,
    "POST /v1/m": PUBLIC,
    # bank connections
    "GET /v1/users/{userId}/connections": owner_or("connections:read"),
    "POST /v1/users/{userId}/connections": owner_or("connections:write"),
    "GET /v1/connections/{connectionId}": owner_or("connections:read"),
    "PATCH /v1/connections/{connectionId}": owner_or("connections:write"),
    "DELETE /v1/connections/{connectionId}": owner_or("connections:write"),
    "GET /v1/connections/{connectionId}/deletion-plan": owner_or("connections:read"),
    "POST /v1/connections/{connectionId}/sync": owner_or("connections:write"),
    "GET /v1/connections/{connectionId}/accounts": owner_or("connections:read"),
    "POST /v1/connections/{connectionId}/decisions": owner_or("connections:write"),
    "GET /v1/bank-accounts/{bankAccountId}/transactions": owner_or("connections:read"),
    "POST /v1/webhooks/teller": SIGNED,
    # projects and their repositories
    "POST /v1/projects": Access("projects:write", owner=True, people="users, who become the project's admin"),
    "GET /v1/projects": PROJECT_MEMBERS,
    f"GET {_PROJECT}": PROJECT_MEMBERS,
    f"PATCH {_PROJECT}": PROJECT_ADMINS,
    f"DELETE {_PROJECT}": PROJECT_ADMINS,
    f"GET {_PROJECT}/deletion-plan": PROJECT_MEMBERS,
    f"GET {_PROJECT}/members/{{userId}}": PROJECT_MEMBERS,
    f"PUT {_PROJECT}/members/{{userId}}": PROJECT_ADMINS,
    f"DELETE {_PROJECT}/members/{{userId}}": PROJECT_ADMINS,
    f"GET {_PROJECT}/invitations": Access("projects:read", owner=True, people="the project's admins"),
    "GET /v1/users/me/invitations": SELF,
    "POST /v1/users/me/invitations/{projectId}/accept": SELF,
    "DELETE /v1/users/me/invitations/{projectId}": SELF,
    f"GET {_PROJECT}/repository": PROJECT_MEMBERS,
    f"PUT {_PROJECT}/repository": PROJECT_ADMINS,
    f"PATCH {_PROJECT}/repository": PROJECT_ADMINS,
    f"DELETE {_PROJECT}/repository": PROJECT_ADMINS,
    f"GET {_PROJECT}/repository/health": PROJECT_MEMBERS,
    f"POST {_PROJECT}/repository/rotate-secret": PROJECT_ADMINS,
    f"GET {_PROJECT}/repository/events": PROJECT_MEMBERS,
    f"POST {_PROJECT}/repository/events/{{eventId}}/redeliver": PROJECT_ADMINS,
    "POST /v1/webhooks/{service}/{connectionId}": SIGNED,
    "GET /v1/deletions/{deletionId}": Access(
        owner=True, any_key=True, people="the user or API key that asked for the deletion"
    ),
    # sign-in
    "POST /v1/auth/otp": PUBLIC,
    "POST /v1/auth/otp/verify": PUBLIC,
    "POST /v1/auth/oidc/{provider}": PUBLIC,
    "POST /v1/auth/refresh": PUBLIC,
    "POST /v1/auth/logout": PUBLIC,
    "GET /v1/auth/sessions": SESSIONS,
    "DELETE /v1/auth/sessions": SESSIONS,
    "DELETE /v1/auth/sessions/{sessionId}": SESSIONS,
    "PUT /v1/users/me/role": SELF,
    "POST /v1/users/me/email": SELF,
    "PUT /v1/users/me/email": SELF,
    "GET /v1/users/me/identities": SELF,
    "POST /v1/users/me/identities": SELF,
    "POST /v1/users/me/identities/challenges": SELF,
    "DELETE /v1/users/me/identities/{identityId}": SELF,
    "POST /v1/users/{userId}/sessions": keys("sessions:write"),
    # the card programme
    "POST /v1/accounts": keys("accounts:write"),
    "GET /v1/accounts": keys("accounts:read"),
    f"GET {_ACCOUNT}": MEMBERS,
    f"PATCH {_ACCOUNT}": keys("accounts:write"),
    f"DELETE {_ACCOUNT}": keys("accounts:write"),
    f"GET {_ACCOUNT}/deletion-plan": keys("accounts:read"),
    f"POST {_ACCOUNT}/webhook-secret": keys("accounts:write"),
    f"POST {_ACCOUNT}/users": keys("accounts:write"),
    f"GET {_ACCOUNT}/users": keys("accounts:read"),
    f"POST {_ACCOUNT}/cards": keys("accounts:write"),
    f"GET {_ACCOUNT}/cards": MEMBERS,
    f"GET {_ACCOUNT}/cards/{{cardId}}": MEMBERS,
    f"PATCH {_ACCOUNT}/cards/{{cardId}}": keys("accounts:write"),
    f"POST {_ACCOUNT}/spending-profiles": keys("accounts:write"),
    f"GET {_ACCOUNT}/spending-profiles": MEMBERS,
    f"GET {_ACCOUNT}/spending-profiles/{{profileId}}": MEMBERS,
    f"PATCH {_ACCOUNT}/spending-profiles/{{profileId}}": keys("accounts:write"),
    f"DELETE {_ACCOUNT}/spending-profiles/{{profileId}}": keys("accounts:write"),
    f"GET {_ACCOUNT}/spending-profiles/{{profileId}}/deletion-plan": keys("accounts:read"),
    # apps, keys, operation
    "GET /v1/apps/{appId}": ADMIN,
    "PUT /v1/apps/{appId}": ADMIN,
    "POST /v1/api-keys": ADMIN,
    "GET /v1/api-keys": ADMIN,
    "GET /v1/api-keys/{keyId}": ADMIN,
    "POST /v1/api-keys/{keyId}/rotate": ADMIN,
    "DELETE /v1/api-keys/{keyId}": ADMIN,
    "GET /v1/admin/audit": ADMIN,
    "GET /v1/admin/indexes": ADMIN,
    "GET /v1/admin/relations": ADMIN,
    "GET /v1/admin/integrity": ADMIN,
    "GET /v1/admin/card-events": ADMIN,
    "POST /v1/admin/card-events/{eventId}/redeliver": ADMIN,
    "GET /v1/admin/jobs": ADMIN,
    "GET /v1/admin/deletions/{deletionId}": ADMIN,
    "GET /v1/admin/jobs/{jobId}": ADMIN,
}
"""Method and path template -> who may. A new operation is one more line here."""


def _outlives_the_token(operation: str, access: Access) -> bool:
    """Whether a person's write stays when their session is over, and is more than an app's data, activity or events."""
    return access.owner and not access.public and not operation.startswith("GET ") and access.scope not in APP_SCOPES


ACCESS: Final[Mapping[str, Access]] = {
    operation: replace(access, live=True) if _outlives_the_token(operation, access) else access
    for operation, access in _RULES.items()
}
"""The same, where a person's writes that outlive their token ask whether the session lives."""


UNRULED: Final = ("/openapi.json", "/docs", "/console", "/favicon.ico")
"""Pages, and what they load: public, or let in by the console's own sign-in."""


class AccessError(Exception):
    """An operation has no rule, so nobody could say who may call it: this ends the program at its start."""


def check(operations: Iterable[str]) -> None:
    """See that each operation has a rule.

    Args:
        operations: method and path template of each, `GET /v1/users`.

    Raises:
        AccessError: naming those that have none.
    """
    bare = sorted(name for name in operations if name not in ACCESS and not _is_page(name.partition(" ")[2]))
    if bare:
        raise AccessError(f"app/identity/access.py has no rule for {', '.join(bare)}")


def rule_of(method: str, path: str) -> Access | None:
    """The rule of an operation, None for a page.

    Raises:
        AccessError: it has none.
    """
    name = f"{'GET' if method == 'HEAD' else method} {path}"
    check([name])
    return ACCESS.get(name)


def _is_page(path: str) -> bool:
    return any(path == page or path.startswith(f"{page}/") for page in UNRULED)


def describe(document: dict[str, Any]) -> None:
    """Say of each operation of an OpenAPI document who may call it."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            access = ACCESS.get(f"{method.upper()} {path}")
            if access is None:
                continue
            operation["x-satchel-access"] = access.extension()
            told = operation.get("description", "")
            operation["description"] = f"{told}\n\n**Who may:** {access.sentence}".strip()
