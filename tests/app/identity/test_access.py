"""Who reaches what: every operation of `/openapi.json`, by every kind of caller, from the rule that
it declares."""

import re
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.console.navigation import ROUTERS as PAGES
from app.main import create_app
from app.settings import Settings
from models import Budget, Invitation
from models.api_key import APP_SCOPES
from models.base import now
from scripts.migrate import take_steps
from tests.cast import Cast
from tests.factories.operations import (
    ACCESS,
    ALL_SCOPES,
    DECLARED,
    LASTING,
    MERGE,
    PUBLIC,
    RULES,
    SIGNED,
    WRITE_KEYS,
    all_paths,
    asked,
    everything_of,
    operations,
)
from tests.factories.parameters import owned
from tests.factories.posted import there
from tests.factories.scenes import Scene
from tests.harness import Api, Caller

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
    "{jobId}",
    "{eventId}/redeliver",
    "{deletionId}",
    "/deletion",
    "joins/accept",
    "joins/refuse",
    "joins/undo",
)
"""Paths to what is not there when it is asked for; 404 is then told to whoever may ask."""

REFUSED = (
    "PUT /v1/users/me/email",
    "POST /v1/users/me/identities",
    "POST /v1/users/me/guests",
)
"""Routes that take a code or a token, which is made up here."""
NAMES_ANOTHER = {
    "POST /v1/users/{userId}/merge": 400,
    "GET /v1/users/{userId}/merge-plan": 422,
    "POST /v1/users/me/guests": 422,
}
"""Routes that name somebody else besides, who is not there; tests/app/people/test_merge.py."""


@pytest.fixture
async def settled(cast: Cast, api: Api) -> dict[str, str]:
    """The owner with a value, a session, an identity and an invitation; the ids of these."""
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    user_id: Any = ObjectId(cast.owner.id)
    project = ObjectId((await cast.admin.post("/v1/projects", json={"name": "x"})).json()["id"])
    await Invitation.offer(
        project, user_id, user_id, "admin", now() + timedelta(days=1), session=None
    )
    own = await owned(Scene(api, cast), [each.split(" ")[1] for each in RULES if RULES[each].owner])
    return {**own, "projectId": str(project)}


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
    """What OpenAPI does not show is listed here, so that nothing escapes the rules. The console's
    pages are tried in tests/app/console/test_operator_access.py."""
    app = create_app(base_settings)
    described = set(app.openapi()["paths"])
    pages = {path for router in PAGES for path in all_paths(router.routes)}
    assert all_paths(app.routes) - described - pages == {
        "/openapi.json",
        "/docs",
        "/docs/static/{name}",
        "/docs/errors",
        "/console",
        "/console/sign-in",
        "/console/sign-in/code",
        "/console/sign-in/verify",
        "/console/sign-out",
        "/console/live",
        "/console/export/{panel}",
        "/console/static/{name}",
        "/favicon.ico",
    }


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
    expected = {
        "POST /v1/auth/guests": {201},
        "POST /v1/auth/otp": {202, 429},
        "POST /v1/auth/oidc/{provider}": {404},
    }.get(route, {200, 401})
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
    settled |= await there(cast.admin, route, cast.owner.id, **settled)
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
        ids = await there(cast.admin, route, somebody)
        answer = await asked(caller, route, somebody, **ids)
        if caller is admin_user and route in WRITE_KEYS:
            assert (
                answer.status_code == 403
            )  # events of a Segment client come with a write key, and no person's token
        elif caller is admin_user and (route in OWN or route == "POST /v1/analytics/events"):
            assert answer.status_code in ADMINS_OWN.get(route, {200, 202, 204})
        elif route in NAMES_ANOTHER:
            assert answer.status_code == NAMES_ANOTHER[route]
        else:
            assert answer.is_success or (answer.status_code == 404 and route.endswith(MISSING))
    if rule.scope is None:
        assert (
            await asked(cast.admin, route, cast.owner.id)
        ).status_code == 403  # for people, not for keys

    if route == "POST /v1/users/me/identities/challenges" or route == "POST /v1/users/me/email":
        await Budget.raw().delete_many({"_id": {"$regex": "^asked:"}})
    settled |= await there(cast.admin, route, cast.owner.id, **settled)
    answer = await asked(cast.owner, route, "me", **settled)
    if not rule.owner:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    elif route in REFUSED:
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
    "POST /v1/users/me/guests": {422},
    "DELETE /v1/auth/sessions/{sessionId}": {404},
    "POST /v1/users/me/invitations/{projectId}/accept": {404},
    "DELETE /v1/users/me/invitations/{projectId}": {404},
    "POST /v1/analytics/events": {404},
}
"""Where an admin is about themselves like anybody else: `admin` is not chosen, and a token sends
its user's events."""
