"""Who reaches what: every route of the application, by every kind of caller (design, guarantee 5)."""

from dataclasses import dataclass
from typing import Any

import pytest

from app.analytics.segment import KINDS
from app.main import create_app
from app.settings import Settings
from models.api_key import APP_SCOPES
from tests.app.cards.rules import ACCOUNT_RULES
from tests.app.connections import test_access as bank
from tests.app.repositories import test_access as git
from tests.cast import Cast
from tests.harness import Api

_METHODS = ("get", "put", "post", "patch", "delete")
MERGE = {"Content-Type": "application/merge-patch+json"}


@dataclass(frozen=True)
class Rule:
    """What a route asks for.

    Attributes:
        scope: that a key needs.
        body: that the route accepts.
        stranger: what a user is told for whom this is not.
        owner: whether users may do this for themselves.
    """

    scope: str
    body: Any = None
    stranger: int = 404
    owner: bool = True


_EVENT = {"appId": "notes", "eventName": "e", "eventCategory": "custom"}
QUERIES = ("active-users", "error-rate", "top", "sessions", "funnel", "retention", "live")
_DATA = "/v1/users/{userId}/apps/{appId}/data"

PUBLIC = {"GET /livez", "GET /readyz", "GET /metrics", "GET /.well-known/jwks.json"}
RULES: dict[str, Rule] = {
    "POST /v1/users": Rule("users:write", {}, 403, owner=False),
    "GET /v1/users": Rule("users:read", None, 403, owner=False),
    "GET /v1/users/{userId}": Rule("users:read"),
    "PATCH /v1/users/{userId}": Rule("users:write", {}),
    "DELETE /v1/users/{userId}": Rule("users:write"),
    "GET /v1/users/{userId}/complete": Rule("users:read"),
    "GET /v1/users/{userId}/deletion": Rule("users:write"),
    "GET /v1/users/{userId}/deletion-plan": Rule("users:read"),
    "GET /v1/users/{userId}/profile": Rule("users:read"),
    "PUT /v1/users/{userId}/profile": Rule("users:write", {}),
    "PATCH /v1/users/{userId}/profile": Rule("users:write", {}),
    "GET /v1/users/{userId}/preferences": Rule("users:read"),
    "PUT /v1/users/{userId}/preferences": Rule("users:write", {}),
    "PATCH /v1/users/{userId}/preferences": Rule("users:write", {}),
    "POST /v1/users/{userId}/logins": Rule("data:write", {"appId": "notes"}),
    "POST /v1/users/{userId}/sessions": Rule("sessions:write", {}, 403, owner=False),
    "GET /v1/users/{userId}/activity": Rule("data:read"),
    "POST /v1/users/{userId}/activity": Rule("data:write", {"appId": "notes", "eventType": "e"}),
    f"GET {_DATA}": Rule("data:read"),
    f"GET {_DATA}/{{dataKey}}": Rule("data:read"),
    f"PUT {_DATA}/{{dataKey}}": Rule("data:write", {}),
    f"PATCH {_DATA}/{{dataKey}}": Rule("data:write", {}),
    f"DELETE {_DATA}/{{dataKey}}": Rule("data:write"),
    "POST /v1/analytics/events": Rule("events:write", _EVENT),
    "GET /v1/analytics/event-counts": Rule("analytics:read"),
    "GET /v1/analytics/category-counts": Rule("analytics:read"),
    **{f"GET /v1/analytics/{name}": Rule("analytics:read") for name in QUERIES},
    "GET /v1/analytics/quarantine": Rule("analytics:read", None, 403, owner=False),
    "PUT /v1/apps/{appId}/external-ids/{externalId}": Rule("users:write", {"userId": ""}, 403, owner=False),
    "GET /v1/apps/{appId}/external-ids/{externalId}": Rule("users:read", None, 403, owner=False),
    "POST /v1/batch": Rule("events:write", {"batch": []}, 403, owner=False),
    **{f"POST /v1/{kind}": Rule("events:write", {"event": "e", "groupId": "g"}, 403, owner=False) for kind in KINDS},
    "GET /v1/apps/{appId}": Rule("admin", None, 403, owner=False),
    "PUT /v1/apps/{appId}": Rule("admin", {}, 403, owner=False),
    "POST /v1/api-keys": Rule("admin", {"name": "x", "scopes": ["data:read"]}, 403, owner=False),
    "GET /v1/api-keys": Rule("admin", None, 403, owner=False),
    "GET /v1/api-keys/{keyId}": Rule("admin", None, 403, owner=False),
    "DELETE /v1/api-keys/{keyId}": Rule("admin", None, 403, owner=False),
    "GET /v1/admin/indexes": Rule("admin", None, 403, owner=False),
    "GET /v1/admin/integrity": Rule("admin", None, 403, owner=False),
    "GET /v1/admin/relations": Rule("admin", None, 403, owner=False),
    "GET /v1/admin/jobs": Rule("admin", None, 403, owner=False),
    "GET /v1/admin/deletions/{deletionId}": Rule("admin", None, 403, owner=False),
    "GET /v1/admin/jobs/{jobId}": Rule("admin", None, 403, owner=False),
}
"""A new route is one more line here, or the first test below fails."""
ELSEWHERE = bank.RULES.keys() | bank.SIGNED | git.RULES.keys() | git.SIGNED | {"GET /v1/deletions/{deletionId}"}
"""Routes whose rules stand, and are tested, beside what they need outside."""

ALL_SCOPES = ["users:read", "users:write", "sessions:write", "data:read", "data:write", "events:write"]
ALL_SCOPES += ["analytics:read", "accounts:read", "accounts:write", "projects:read", "projects:write"]
ALL_SCOPES += ["connections:read", "connections:write"]


def request_of(route: str, user_id: str) -> tuple[str, str, dict[str, Any]]:
    """Method, path and options of an acceptable request that is about this user."""
    method, template = route.split(" ")
    path = template.format(
        userId=user_id, appId="notes", dataKey="k", keyId="f" * 24, jobId="x", deletionId="x", externalId="crm-7"
    )
    options: dict[str, Any] = {"headers": MERGE if method == "PATCH" else {}}
    if RULES[route].body is not None:
        options["json"] = RULES[route].body
    if "/analytics/" in path and method == "GET" and not path.endswith("/quarantine"):
        options["params"] = {"userId": user_id} | ({"step": ["a", "b"]} if path.endswith("/funnel") else {})
    if path == "/v1/batch" or path.removeprefix("/v1/") in KINDS:
        options["params"] = {"appId": "notes"}
    if "external-ids" in path and method == "PUT":
        options["json"] = {"userId": user_id}
    if path.endswith("/events"):
        options["json"] = {**RULES[route].body, "userId": user_id}
    return method, path, options


def test_every_route_has_a_rule(base_settings: Settings) -> None:
    paths = create_app(base_settings).openapi()["paths"]
    routes = {f"{method.upper()} {path}" for path, item in paths.items() for method in item if method in _METHODS}
    assert routes == RULES.keys() | ACCOUNT_RULES.keys() | PUBLIC | ELSEWHERE


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
        inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        found |= all_paths(inner) if inner else {route.path}
    return found


@pytest.mark.parametrize("route", sorted(PUBLIC))
async def test_public_routes_ask_for_nothing(cast: Cast, route: str) -> None:
    assert (await cast.nobody.get(route.split(" ")[1])).status_code == 200


@pytest.mark.parametrize("route", RULES)
async def test_nobody_is_told_to_say_who_they_are(cast: Cast, route: str) -> None:
    for user_id in (cast.owner.id, "me", "nonsense"):
        method, path, options = request_of(route, user_id)
        answer = await cast.nobody.request(method, path, **options)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert "www-authenticate" in answer.headers


@pytest.mark.parametrize("route", RULES)
async def test_a_stranger_is_told_nothing_of_the_owner(cast: Cast, route: str) -> None:
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    method, path, options = request_of(route, cast.owner.id)
    answer = await cast.stranger.request(method, path, **options)
    assert answer.status_code == RULES[route].stranger
    if RULES[route].stranger == 404:
        method, path, options = request_of(route, "f" * 24)
        nobody = await cast.stranger.request(method, path, **options)
        assert (nobody.status_code, nobody.json()["detail"]) == (404, answer.json()["detail"])
    assert (await cast.owner.get("/v1/users/me/apps/notes/data/k")).headers["etag"] == '"1"'
    assert (await cast.owner.get("/v1/users/me")).json()["version"] == 1


@pytest.mark.parametrize("route", RULES)
async def test_a_key_with_every_scope_but_the_one_is_refused(cast: Cast, api: Api, route: str) -> None:
    without = await api.key(*(scope for scope in ALL_SCOPES if scope != RULES[route].scope))
    method, path, options = request_of(route, cast.owner.id)
    answer = await without.request(method, path, **options)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await cast.owner.get("/v1/users/me")).json()["version"] == 1


@pytest.mark.parametrize("route", RULES)
async def test_a_key_with_the_scope_is_let_pass(cast: Cast, api: Api, route: str) -> None:
    caller = await api.key(RULES[route].scope)
    method, path, options = request_of(route, cast.owner.id)
    answer = await caller.request(method, path, **options)
    missing = ("data/{dataKey}", "apps/{appId}", "{externalId}", "{keyId}", "{jobId}", "{deletionId}", "/deletion")
    assert answer.is_success or (answer.status_code == 404 and route.endswith(missing))


@pytest.mark.parametrize("route", RULES)
async def test_owners_do_what_is_theirs_and_no_more(cast: Cast, route: str) -> None:
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    method, path, options = request_of(route, "me")
    answer = await cast.owner.request(method, path, **options)
    if route.endswith("/deletion"):
        assert answer.json()["detail"] == "no deletion of this user is known"
    elif RULES[route].owner:
        assert answer.is_success
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("route", [route for route in RULES if "{appId}" in route or "activity" in route])
async def test_a_key_of_another_app_is_told_nothing(cast: Cast, api: Api, route: str) -> None:
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    await cast.owner.post("/v1/users/me/activity", json={"appId": "notes", "eventType": "e"})
    other = await api.key(*ALL_SCOPES, app_id="boats")
    method, path, options = request_of(route, cast.owner.id)
    answer = await other.request(method, path, **options)
    if route == "GET /v1/users/{userId}/activity":
        assert answer.json()["items"] == []
    else:
        assert answer.status_code == (404 if RULES[route].scope in APP_SCOPES else 403)


@pytest.mark.parametrize(
    "route",
    [route for route, rule in RULES.items() if rule.scope == "users:write" and "{userId}" in route],
)
async def test_a_token_of_one_app_changes_nothing_of_the_person(cast: Cast, route: str) -> None:
    method, path, options = request_of(route, "me")
    answer = await cast.owner_in_app.request(method, path, **options)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
