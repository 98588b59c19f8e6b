"""A token that is bound to an app reaches that app's data, activity and events of its user, and
nothing else."""

import re
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from fastapi import APIRouter

from app import main
from app.identity.access import AccessError, Rules
from app.main import create_app, declared_rules
from app.settings import Settings
from app.web.routing import Router
from models.api_key import APP_SCOPES
from models.base import now
from models.refresh_token import RefreshToken
from tests.cast import APP, Cast
from tests.factories.operations import MERGE
from tests.harness import Api, Caller

ACCESS = declared_rules()

BEYOND = sorted(
    name
    for name, access in ACCESS.items()
    if not access.public
    and access.scope not in APP_SCOPES
    and "/auth/sessions" not in name
    and name != "GET /v1/deletions/{deletionId}"
)
"""Every operation that is about more than one app's data; of deletions it is shown its own."""


async def minted(cast: Cast, api: Api) -> Caller:
    """The owner by a token that a key of the app asked for."""
    key = await api.key("sessions:write", app_id=APP)
    answer = await key.post(f"/v1/users/{cast.owner.id}/sessions")
    return api.caller(answer.json()["accessToken"], cast.owner.id)


@pytest.mark.parametrize("route", BEYOND)
async def test_whatever_is_not_the_apps_is_refused(cast: Cast, api: Api, route: str) -> None:
    method, template = route.split(" ")
    path = re.sub(r"\{userId\}", "me", template)
    path = re.sub(r"\{\w+\}", "f" * 24, path)
    options: dict[str, Any] = {} if method in ("GET", "DELETE") else {"json": {}}
    if method == "PATCH":
        options["headers"] = MERGE
    for caller in (cast.owner_in_app, await minted(cast, api)):
        answer = await caller.request(method, path, **options)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "owner@example.com" not in answer.text


async def test_what_is_the_apps_is_reached_and_shows_nothing_of_the_person(
    cast: Cast, api: Api
) -> None:
    caller = await minted(cast, api)
    assert (await caller.put(f"/v1/users/me/apps/{APP}/data/k", json=1)).status_code == 201
    assert (await caller.get(f"/v1/users/me/apps/{APP}/data/k")).json() == 1
    assert (await caller.get("/v1/users/me/apps/other/data/k")).status_code == 404
    assert (
        await caller.post("/v1/users/me/activity", json={"appId": APP, "eventType": "e"})
    ).status_code == 201
    login = await caller.post("/v1/users/me/logins", json={"appId": APP})
    assert login.is_success
    expanded = await caller.get("/v1/users/me/activity", params={"expand": "user"})
    assert expanded.status_code == 403
    for answer in (login, expanded, await caller.get("/v1/users/me/activity")):
        assert "owner@example.com" not in answer.text


async def test_a_session_at_an_app_sees_the_sessions_at_that_app_alone(
    cast: Cast, api: Api
) -> None:
    user_id: Any = ObjectId(cast.owner.id)
    until = now() + timedelta(days=1)
    made = [
        await RefreshToken(
            user_id=user_id,
            app_id=app,
            token_hash=str(app),
            auth_method="google",
            ends_at=until,
            expires_at=until,
        ).add()
        for app in (APP, "boats", None)
    ]
    tokens = api.app.state.authenticator.tokens
    session_id = ObjectId(made[0].id)
    token, _ = tokens.mint(user_id, issued_at=now().timestamp(), session_id=session_id, app_id=APP)
    answer = await api.caller(token).get("/v1/auth/sessions")
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == 1
    assert (await (await minted(cast, api)).get("/v1/auth/sessions")).status_code == 403


def test_an_operation_without_a_rule_ends_the_program_at_its_start() -> None:
    for name in (
        "GET /v1/users/{userId}",
        "PUT /v1/users/{userId}/apps/{appId}/data/{dataKey}",
        "POST /v1/batch",
    ):
        rules = {each: rule for each, rule in ACCESS.items() if each != name}
        with pytest.raises(AccessError, match=re.escape(name)):
            Rules(rules, ACCESS)


def test_a_route_that_is_not_declared_by_a_router_of_ours_ends_the_program_at_its_start(
    base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = APIRouter()
    plain.get("/v1/bare")(lambda: None)
    monkeypatch.setattr(main, "ROUTERS", (*main.ROUTERS, plain))
    with pytest.raises(AccessError, match="GET /v1/bare"):
        create_app(base_settings)


def test_a_route_of_ours_cannot_be_declared_without_a_rule() -> None:
    with pytest.raises(TypeError, match="access"):
        Router().get("/v1/bare")  # type: ignore[call-arg]


def test_pages_need_no_rule_and_what_looks_like_one_does() -> None:
    assert (
        Rules(
            {}, ["GET /console/live", "GET /docs", "GET /docs/static/{name}", "GET /openapi.json"]
        ).by_operation
        == {}
    )
    with pytest.raises(AccessError, match="GET /consoles, GET /docsx"):
        Rules({}, ["GET /consoles", "GET /docsx"])
