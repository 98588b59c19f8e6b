"""One rule on every route: JSON is JSON whatever its type is called, and a parameter that nobody
knows is refused."""

import json
from typing import Any

import pytest
from fastapi import FastAPI

from app.web.routing import StrictRoute
from tests.cast import Cast
from tests.factories.operations import LIBRARIES, PUBLIC, RULES, WRITE_KEYS, request_of
from tests.factories.posted import there
from tests.harness import Api, version_of

LINES = {"POST /v1/users/import"}
"""Each line is JSON, and answered for itself."""
FOR_KEYS = {route: rule for route, rule in RULES.items() if rule.scope is not None}
WITH_BODY = [
    route
    for route, rule in FOR_KEYS.items()
    if rule.body is not None and not route.startswith("PATCH") and route not in LINES
]
TYPES: list[dict[str, str]] = [
    {},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "text/plain; charset=utf-8"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {"Content-Type": "application/vnd.api+json"},
]


@pytest.mark.parametrize("route", WITH_BODY)
async def test_json_is_parsed_whatever_its_type_is_called(cast: Cast, route: str) -> None:
    ids = await there(cast.admin, route, cast.owner.id)
    method, path, options = request_of(route, cast.owner.id, **ids)
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    await cast.admin.put("/v1/apps/notes", json={"history": 10})
    for headers in TYPES:
        body = json.dumps(options["json"]).encode()
        answer = await cast.admin.request(
            method, path, content=body, headers=headers, params=options.get("params")
        )
        is_undecided = (
            "/joins/" in route and answer.json().get("code") == "not_found"
        )  # read, and nothing waits
        is_read = route.endswith("/merge") and answer.json().get("code") == "bad_reference"
        assert answer.is_success or is_undecided or is_read, (headers, answer.text)
        broken = await cast.admin.request(method, path, content=b"{", headers=headers)
        assert (broken.status_code, broken.json()["code"]) == (422, "malformed_json")


@pytest.mark.parametrize("route", [route for route in RULES if route.startswith("PATCH")])
async def test_a_patch_names_its_kind(cast: Cast, route: str) -> None:
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    method, path, _ = request_of(route, cast.owner.id)
    for headers in TYPES:
        assert (
            await cast.owner.request(method, path, content=b"{}", headers=headers)
        ).status_code == 415


@pytest.mark.parametrize(
    "route",
    [*(route for route in FOR_KEYS if route not in WRITE_KEYS), *sorted(PUBLIC - LIBRARIES)],
)
async def test_a_parameter_that_a_route_does_not_know_is_named(cast: Cast, route: str) -> None:
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    method, path, options = (
        request_of(route, cast.owner.id) if route in RULES else (*route.split(" "), {})
    )
    params = {**options.pop("params", {}), "limits": "5", "Ttl": ""}
    refused = await cast.admin.request(method, path, params=params, **options)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["?limits", "?Ttl"]
    assert {error["code"] for error in refused.json()["errors"]} == {"unknown"}
    assert version_of(await cast.owner.get("/v1/users/me/apps/notes/data/k")) == 1
    if route in RULES:
        assert (
            await cast.nobody.request(method, path, params=params, **options)
        ).status_code == 401


@pytest.mark.parametrize("query", ["", "activity=x", "ttl=60&activity=x", "ttl=60"])
async def test_the_parameters_of_a_write_are_known(cast: Cast, query: str) -> None:
    path = f"/v1/users/me/apps/notes/data/k?{query}"
    assert (await cast.owner.put(path, json={})).status_code == 201
    assert (await cast.owner.merge(path, {"a": 1})).status_code == 200
    assert (await cast.owner.delete(path)).status_code == (422 if "ttl" in query else 204)


async def test_a_router_may_take_any_parameter(api: Api, cast: Cast) -> None:
    class Lenient(StrictRoute):
        any_query = True

    async def answer() -> dict[str, Any]:
        return {"ok": True}

    app: FastAPI = api.app
    app.router.routes.insert(0, Lenient("/lenient", answer, methods=["GET"]))
    assert (await cast.nobody.get("/lenient?utm_source=x")).json() == {"ok": True}
