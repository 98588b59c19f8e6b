"""Who reaches what: every operation of `/openapi.json`, by every kind of caller, from the rule that
it declares."""

import functools
import re
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.main import create_app, declared_rules
from app.settings import Settings
from models import AuthIdentity, Budget, Invitation, RefreshToken, User
from models.api_key import APP_SCOPES
from models.base import now
from models.relations import children_of
from scripts.migrate import take_steps
from tests.app.cards.rules import ACCOUNT_RULES
from tests.app.connections import test_access as bank
from tests.app.repositories import test_access as git
from tests.cast import Cast
from tests.harness import Api, Caller

ACCESS = declared_rules()

_METHODS = ("get", "put", "post", "patch", "delete")
MERGE = {"Content-Type": "application/merge-patch+json"}


@dataclass(frozen=True)
class Rule:
    """What an operation declares as `x-satchel-access`.

    Attributes:
        scope: that a key needs; None where no key may.
        owner: whether users may do this for themselves.
        public: whether nobody is asked who they are.
        live: whether an ended session is refused.
        body: that it accepts, None where it takes none.
    """

    scope: str | None
    owner: bool
    public: bool
    live: bool
    body: Any


@functools.cache
def operations() -> dict[str, dict[str, Any]]:
    """`GET /v1/users` -> what OpenAPI says of it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            _env_file=None, mongodb_uri="mongodb://127.0.0.1:9", data_dir=Path(folder)
        )
        paths = create_app(settings).openapi()["paths"]
    return {
        f"{method.upper()} {path}": operation
        for path, item in paths.items()
        for method, operation in item.items()
        if method in _METHODS
    }


def declared(name: str, operation: dict[str, Any]) -> Rule:
    access = operation["x-satchel-access"]
    return Rule(
        access["scope"], access["owner"], access["public"], access["liveSession"], BODIES.get(name)
    )


_EVENT = {"appId": "notes", "eventName": "e", "eventCategory": "custom"}
_CODE = {"challengeId": "x", "code": "123456"}
KINDS = ("track", "identify", "page", "screen", "group", "alias")
BODIES: dict[str, Any] = {
    "POST /v1/admin/card-events/redeliver": {},
    "POST /v1/users": {},
    "PATCH /v1/users/{userId}": {},
    "POST /v1/users/import": {},
    "PUT /v1/users/by/{field}/{value}": {},
    "PUT /v1/users/{userId}/profile": {},
    "PATCH /v1/users/{userId}/profile": {},
    "PUT /v1/users/{userId}/preferences": {},
    "PATCH /v1/users/{userId}/preferences": {},
    "POST /v1/users/{userId}/logins": {"appId": "notes"},
    "POST /v1/users/{userId}/sessions": {},
    "POST /v1/users/{userId}/activity": {"appId": "notes", "eventType": "e"},
    "PUT /v1/users/{userId}/apps/{appId}/data/{dataKey}": {},
    "PATCH /v1/users/{userId}/apps/{appId}/data/{dataKey}": {},
    "POST /v1/users/{userId}/apps/{appId}/data/{dataKey}/restore": {"version": 1},
    "POST /v1/users/{userId}/apps/{appId}/batch": {"writes": [{"dataKey": "settings", "value": 1}]},
    "POST /v1/analytics/events": _EVENT,
    "POST /v1/batch": {"batch": []},
    **{f"POST /v1/{kind}": {"event": "e", "groupId": "g"} for kind in KINDS},
    **{
        f"POST /v1/analytics/joins/{each}": {"appId": "notes", "anonymousId": "a"}
        for each in ("accept", "refuse", "undo")
    },
    "PUT /v1/apps/{appId}": {},
    "POST /v1/apps/{appId}/schemas/check": {"schemas": {}},
    "POST /v1/api-keys": {"name": "x", "scopes": ["data:read"]},
    "POST /v1/auth/otp": {"phoneNumber": "+14155550123"},
    "POST /v1/auth/otp/verify": _CODE,
    "POST /v1/auth/oidc/{provider}": {"idToken": "a.b.c"},
    "POST /v1/auth/refresh": {"refreshToken": "rt_x"},
    "POST /v1/auth/logout": {"refreshToken": "rt_x"},
    "PUT /v1/users/me/role": {"role": "creator"},
    "POST /v1/users/me/email": {"email": "new@example.com"},
    "PUT /v1/users/me/email": _CODE,
    "POST /v1/users/me/identities": {"provider": "phone", **_CODE},
    "POST /v1/users/me/identities/challenges": {"phoneNumber": "+14155550124"},
}
"""A body that each operation accepts, or refuses for what it says rather than for its form."""

DECLARED = {
    name: declared(name, operation)
    for name, operation in operations().items()
    if "x-satchel-access" in operation
}
SIGNED = bank.SIGNED | git.SIGNED
ELSEWHERE = {*ACCOUNT_RULES, *bank.RULES, *git.RULES, "GET /v1/deletions/{deletionId}"}
"""Operations that are asked beside what they need: cards, connections, repositories,
tests/app/users/test_deletion."""
RULES = {name: rule for name, rule in DECLARED.items() if not rule.public and name not in ELSEWHERE}
"""Operations that ask who is calling."""
PUBLIC = {name for name, rule in DECLARED.items() if rule.public} - SIGNED
LIBRARIES = {"GET /sourceConfig", "GET /v1/projects/{writeKey}/settings", "POST /v1/m"}
"""What libraries of others ask for, with parameters and packing of their own; nothing is done about
it."""
WRITE_KEYS = {"POST /v1/batch", *(f"POST /v1/{kind}" for kind in KINDS)}
OWN = [name for name, rule in DECLARED.items() if rule.owner and rule.scope is None]
"""Operations of signed-in users, about themselves: no path names another."""

MISSING = (
    "data/{dataKey}",
    "data/{dataKey}/history",
    "data/{dataKey}/history/{version}",
    "data/{dataKey}/restore",
    "apps/{appId}",
    "apps/{appId}/queries",
    "{externalId}",
    "{keyId}",
    "{keyId}/rotate",
    "{jobId}",
    "{eventId}/redeliver",
    "{deletionId}",
    "/deletion",
    "joins/accept",
    "joins/refuse",
    "joins/undo",
)
"""Paths to what is not there when it is asked for; 404 is then told to whoever may ask."""

ALL_SCOPES = [
    "users:read",
    "users:write",
    "sessions:write",
    "data:read",
    "data:write",
    "events:write",
]
ALL_SCOPES += [
    "analytics:read",
    "accounts:read",
    "accounts:write",
    "projects:read",
    "projects:write",
]
ALL_SCOPES += ["connections:read", "connections:write", "users:import"]


def request_of(route: str, user_id: str, **ids: str) -> tuple[str, str, dict[str, Any]]:
    """Method, path and options of an acceptable request that is about this user."""
    method, template = route.split(" ")
    given = {
        "keyId": "f" * 24,
        "jobId": "x",
        "eventId": "f" * 24,
        "deletionId": "x",
        "sessionId": "f" * 24,
        "identityId": "f" * 24,
        "projectId": "f" * 24,
        "provider": "nobody",
        "writeKey": "sk_web",
        "version": "1",
        "externalId": f"crm-{user_id}-7",
        "field": "valuUserId",
        "value": f"v-{user_id}",
        **ids,
    }
    path = template.format(userId=user_id, appId="notes", dataKey="k", **given)
    options: dict[str, Any] = {"headers": MERGE if method == "PATCH" else {}}
    if route in BODIES:
        options["json"] = BODIES[route]
    if path == "/v1/analytics/joins":
        options["params"] = {"appId": "notes"}
    elif method == "DELETE" and path.endswith("/data"):
        options["params"] = {"prefix": "k"}
    elif "/analytics/" in path and method == "GET" and not path.endswith("/quarantine"):
        options["params"] = {"userId": user_id} | (
            {"step": ["a", "b"]} if path.endswith("/funnel") else {}
        )
    if path == "/v1/batch" or path.removeprefix("/v1/") in KINDS:
        options["params"] = {"appId": "notes"}
    if "external-ids" in path and method == "PUT":
        options["json"] = {"userId": user_id}
    if path == "/v1/analytics/events":
        options["json"] = {**BODIES[route], "userId": user_id}
    return method, path, options


async def asked(caller: Caller, route: str, user_id: str, **ids: str) -> Any:
    method, path, options = request_of(route, user_id, **ids)
    return await caller.request(method, path, **options)


async def everything_of(caller: Caller) -> dict[str, list[Any]]:
    """Every stored document of a user, as it is; `guard` only counts."""
    user_id = ObjectId(caller.id)
    rows = {"users": await User.raw().find({"_id": user_id}, {"guard": 0}).to_list()}
    for relation in children_of(User):
        rows[relation.label] = await relation.child.raw().find({relation.stored: user_id}).to_list()
    return rows


@pytest.fixture
async def settled(cast: Cast) -> dict[str, str]:
    """The owner with a value, a session, an identity and an invitation; the ids of these."""
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    user_id: Any = ObjectId(cast.owner.id)
    identity = await AuthIdentity(user_id=user_id, provider="google", provider_id="g-1").add()
    until = now() + timedelta(days=1)
    device = RefreshToken(
        user_id=user_id, token_hash="h", auth_method="google", ends_at=until, expires_at=until
    )
    project = ObjectId((await cast.admin.post("/v1/projects", json={"name": "x"})).json()["id"])
    await Invitation.offer(project, user_id, user_id, "admin", until, session=None)
    settled = {"sessionId": str((await device.add()).id), "identityId": str(identity.id)}
    return {**settled, "projectId": str(project)}


@pytest.fixture
async def colleague(cast: Cast, api: Api) -> Caller:
    """A user of the owner's account, which opens nothing to them."""
    made = (await cast.admin.post("/v1/users", json={"email": "colleague@example.com"})).json()[
        "id"
    ]
    account = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
    for user_id in (cast.owner.id, made):
        assert (
            await cast.admin.merge(f"/v1/users/{user_id}", {"accountId": account})
        ).status_code == 200
    return api.token(made)


@pytest.fixture
async def admin_user(cast: Cast, api: Api) -> Caller:
    """A person who is an admin."""
    made = (await cast.admin.post("/v1/users", json={"role": "admin"})).json()["id"]
    minted = await cast.admin.post(f"/v1/users/{made}/sessions")
    return api.caller(minted.json()["accessToken"], made)


def test_every_operation_declares_who_may_call_it() -> None:
    assert operations().keys() - DECLARED.keys() == set()
    assert ACCESS.keys() - operations().keys() == set()


@pytest.mark.parametrize("route", sorted(DECLARED))
def test_openapi_says_the_rule_in_words_and_asks_for_credentials_where_it_has_to(
    route: str,
) -> None:
    operation, rule = operations()[route], DECLARED[route]
    assert f"**Who may:** {ACCESS[route].sentence}" in operation["description"]
    assert bool(operation.get("security")) == (not rule.public or route in SIGNED)
    if rule.scope is not None:
        assert f"`{rule.scope}`" in operation["description"]


def test_no_route_is_hidden_but_the_pages(base_settings: Settings) -> None:
    """What OpenAPI does not show is listed here, so that nothing escapes the rules."""
    app = create_app(base_settings)
    described = set(app.openapi()["paths"])
    assert all_paths(app.routes) - described == {
        "/openapi.json",
        "/docs",
        "/docs/static/{name}",
        "/docs/errors",
        "/console",
        "/console/sign-in",
        "/console/sign-out",
        "/console/live",
        "/console/export/{panel}",
        "/console/static/{name}",
        "/favicon.ico",
    }


def all_paths(routes: Any) -> set[str]:
    found = set()
    for route in routes:
        inner = getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", None
        )
        found |= all_paths(inner) if inner else {route.path}
    return found


LASTING = sorted(
    name
    for name, access in ACCESS.items()
    if access.owner
    and not access.public
    and not name.startswith("GET ")
    and access.scope not in APP_SCOPES
)
"""What a person writes that stays when their session is over, apps' data, activity and events
apart."""


@pytest.mark.parametrize("route", LASTING)
async def test_an_ended_session_writes_nothing_that_outlives_its_token(
    cast: Cast, api: Api, route: str
) -> None:
    method, template = route.split(" ")
    path = re.sub(r"\{\w+\}", "f" * 24, template.replace("{userId}", "me"))
    tokens = api.app.state.authenticator.tokens
    ended, _ = tokens.mint(
        ObjectId(cast.owner.id), issued_at=now().timestamp(), session_id=ObjectId()
    )
    answer = await api.caller(ended).request(
        method, path, headers=MERGE if method == "PATCH" else {}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "ended" in answer.json()["detail"]


@pytest.mark.parametrize("route", sorted(PUBLIC))
async def test_public_operations_are_the_same_for_everybody(
    cast: Cast, database: AsyncDatabase[Any], route: str
) -> None:
    await take_steps(database)  # else nobody is told that the server is ready
    expected = {"POST /v1/auth/otp": {202, 429}, "POST /v1/auth/oidc/{provider}": {404}}.get(
        route, {200, 401}
    )
    for caller in (cast.nobody, cast.owner, cast.reader, cast.admin):
        answer = await asked(caller, route, cast.owner.id)
        assert answer.status_code in expected
        if answer.status_code == 401:
            assert route.startswith("POST /v1/auth/"), "it is the body's credential that is refused"


@pytest.mark.parametrize("route", RULES)
async def test_whom_an_operation_is_not_for_is_told_nothing_and_changes_nothing(
    cast: Cast, api: Api, colleague: Caller, settled: dict[str, str], route: str
) -> None:
    """None, stranger, colleague, key without the scope, key of another app, token of one app, ended
    session."""
    rule = RULES[route]
    await cast.owner.post("/v1/users/me/activity", json={"appId": "notes", "eventType": "e"})
    before = await everything_of(cast.owner)

    for user_id in (cast.owner.id, "me", "nonsense"):
        answer = await asked(cast.nobody, route, user_id, **settled)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert "www-authenticate" in answer.headers

    for other in (cast.stranger, colleague):
        if route in OWN and "{" not in route:
            continue  # there is no way to say that it is about the owner
        answer = await asked(other, route, cast.owner.id, **settled)
        assert answer.status_code == (404 if rule.owner else 403)
        assert cast.owner.id not in answer.text and "owner@example.com" not in answer.text
        if answer.status_code == 404:
            nothing = await asked(other, route, "f" * 24)
            assert (nothing.status_code, nothing.json()["detail"]) == (404, answer.json()["detail"])

    without = await api.key(*(scope for scope in ALL_SCOPES if scope != rule.scope))
    answer = await asked(without, route, cast.owner.id, **settled)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")

    if "{appId}" in route or "activity" in route:
        answer = await asked(await api.key(*ALL_SCOPES, app_id="boats"), route, cast.owner.id)
        if route == "GET /v1/users/{userId}/activity":
            assert answer.json()["items"] == []
        else:
            assert answer.status_code == (404 if rule.scope in APP_SCOPES else 403)

    if rule.live:
        tokens = api.app.state.authenticator.tokens
        ended, _ = tokens.mint(
            ObjectId(cast.owner.id), issued_at=now().timestamp(), session_id=ObjectId()
        )
        answer = await asked(api.caller(ended), route, "me", **settled)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")

    assert await everything_of(cast.owner) == before


@pytest.mark.parametrize("route", RULES)
async def test_whom_an_operation_is_for_is_let_pass(
    cast: Cast, api: Api, admin_user: Caller, settled: dict[str, str], route: str
) -> None:
    """Owner, key with the scope, an admin's key, a person who is an admin; each about somebody who
    is there."""
    rule = RULES[route]
    callers = [] if rule.scope is None else [await api.key(rule.scope), cast.admin]
    for caller in (*callers, admin_user):
        somebody = (await cast.admin.post("/v1/users", json={})).json()["id"]
        answer = await asked(caller, route, somebody)
        if caller is admin_user and route in WRITE_KEYS:
            assert (
                answer.status_code == 403
            )  # events of a Segment client come with a write key, and no person's token
        elif caller is admin_user and (route in OWN or route == "POST /v1/analytics/events"):
            assert answer.status_code in ADMINS_OWN.get(route, {200, 202, 204})
        else:
            assert answer.is_success or (answer.status_code == 404 and route.endswith(MISSING))
    if rule.scope is None:
        assert (
            await asked(cast.admin, route, cast.owner.id)
        ).status_code == 403  # for people, not for keys

    if route == "POST /v1/users/me/identities/challenges" or route == "POST /v1/users/me/email":
        await Budget.raw().delete_many({"_id": {"$regex": "^asked:"}})
    answer = await asked(cast.owner, route, "me", **settled)
    if not rule.owner:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    elif route in ("PUT /v1/users/me/email", "POST /v1/users/me/identities"):
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (
            422,
            "refused",
        )  # the code is made up
    elif route == "DELETE /v1/users/me/identities/{identityId}":
        assert (answer.status_code, answer.json()["code"]) == (409, "last_identity")
    elif route.endswith("/deletion"):
        assert answer.json()["detail"] == "no deletion of this user is known"
    else:
        assert answer.is_success


ADMINS_OWN = {
    "PUT /v1/users/me/role": {403},
    "PUT /v1/users/me/email": {422},
    "POST /v1/users/me/identities": {422},
    "DELETE /v1/users/me/identities/{identityId}": {404},
    "DELETE /v1/auth/sessions/{sessionId}": {404},
    "POST /v1/users/me/invitations/{projectId}/accept": {404},
    "DELETE /v1/users/me/invitations/{projectId}": {404},
    "POST /v1/analytics/events": {404},
}
"""Where an admin is about themselves like anybody else: `admin` is not chosen, and a token sends
its user's events."""
