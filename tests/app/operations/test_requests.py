"""Requests: their ids, their log lines, their metrics."""

import asyncio
import io
import json
import re
import sys
from collections.abc import AsyncIterator

import pytest

from app.operations.examples import RELATION_SHOWN
from app.relations import audit
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.log_lines import Kept
from tests.harness import Api


@pytest.mark.parametrize("sent", ["abc-123", "A.b_c", "x" * 64])
async def test_a_request_id_is_taken_over(cast: Cast, sent: str) -> None:
    answer = await cast.nobody.get("/v1/users/me", headers={"X-Request-Id": sent})
    assert (answer.headers["x-request-id"], answer.json()["requestId"]) == (sent, sent)


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", 'x"}', "é", "a\tb"])
async def test_an_odd_request_id_is_replaced(cast: Cast, sent: str) -> None:
    answer = await cast.nobody.get("/v1/users/me", headers={"X-Request-Id": sent.encode()})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
    assert answer.json()["requestId"] == answer.headers["x-request-id"]


async def test_every_request_has_an_id_of_its_own(cast: Cast) -> None:
    answers = await asyncio.gather(*(cast.owner.get("/v1/users/me") for _ in range(20)))
    assert len({answer.headers["x-request-id"] for answer in answers}) == 20


async def test_a_refused_body_gives_its_place_back(make_api: MakeApi) -> None:
    api = await make_api(max_in_flight=2)
    user = api.token("f" * 24)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    for _ in range(5):
        assert (await user.put("/v1/users/me/apps/a/data/k", content=endless())).status_code in (
            404,
            413,
        )
        assert (await user.post("/v1/analytics/events", content=endless())).status_code == 413
    assert (await user.get("/v1/users/me")).status_code == 404


PREFLIGHT = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}


async def test_browsers_of_other_origins_are_not_let_in_by_default(cast: Cast) -> None:
    answer = await cast.owner.get("/v1/users/me", headers={"Origin": "https://app.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert (
        await cast.nobody.request("OPTIONS", "/v1/users/me", headers=PREFLIGHT)
    ).status_code == 405


async def test_browsers_of_the_origins_in_the_setting_are_let_in(make_api: MakeApi) -> None:
    api = await make_api(cors_origins=["https://app.example"])
    path, wanted = (
        "/v1/users/me/apps/notes/data/k",
        "authorization,if-match,if-none-match,content-type,prefer",
    )
    sent = {**PREFLIGHT, "Access-Control-Request-Headers": wanted}
    preflight = await api.client.options(path, headers=sent)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    answer = await api.client.get(path, headers={"Origin": "https://app.example"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (
        401,
        "https://app.example",
    )
    exposed = {
        name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")
    }
    assert {
        "etag",
        "last-modified",
        "location",
        "retry-after",
        "x-request-id",
        "allow",
        "date",
    } <= exposed
    assert {
        "satchel-as-of",
        "satchel-staleness",
        "satchel-rollup-lag",
        "www-authenticate",
    } <= exposed
    other = await api.client.options(path, headers={**sent, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


ADDED = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "baggage",
    "cache-control",
    "pragma",
    "last-event-id",
    "accept",
]
ADDED += [
    "sentry-trace",
    "x-datadog-trace-id",
    "b3",
    "x-b3-traceid",
    "x-amzn-trace-id",
    "x-requested-with",
]
ADDED += [
    "if-modified-since",
    "if-unmodified-since",
    "if-match",
    "idempotency-key",
    "prefer",
    "x-stainless-lang",
]


@pytest.mark.parametrize("name", [*ADDED, ",".join(ADDED)])
async def test_what_browsers_tracers_and_sdks_add_passes_the_preflight(
    make_api: MakeApi, name: str
) -> None:
    api = await make_api(cors_origins=["https://app.example"])
    sent = {**PREFLIGHT, "Access-Control-Request-Headers": name}
    for path in ("/v1/users/me", "/v1/users/me/apps/notes/data/k", "/v1/analytics/events"):
        preflight = await api.client.options(path, headers=sent)
        assert (preflight.status_code, preflight.headers["access-control-allow-headers"]) == (
            200,
            name,
        )
        assert "access-control-allow-credentials" not in preflight.headers
        other = await api.client.options(path, headers={**sent, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_a_browser_can_read_a_refusal_for_overload_or_size(make_api: MakeApi) -> None:
    api = await make_api(cors_origins=["https://app.example"])
    sent = {"Origin": "https://app.example"}
    user = api.token("f" * 24)
    answer = await user.put("/v1/users/me/profile", content=b"x" * (1024 * 1024 + 1), headers=sent)
    assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (
        413,
        "https://app.example",
    )


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/users/", "/v1/nothing", "/livez/", "//livez"]
)
async def test_a_path_that_is_not_there_is_404_as_a_problem(cast: Cast, path: str) -> None:
    answer = await cast.admin.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_method_that_is_not_there_is_405_as_a_problem(cast: Cast) -> None:
    answer = await cast.admin.request("DELETE", "/v1/users")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


async def test_admins_see_relations_and_jobs(cast: Cast) -> None:
    relations = (await cast.admin.get("/v1/admin/relations")).json()
    assert RELATION_SHOWN in relations
    assert (await cast.admin.get("/v1/admin/jobs")).json() == []
    assert (await cast.admin.get("/v1/admin/jobs/nothing")).status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/console", "/openapi.json"])
async def test_pages_are_there(api: Api, path: str) -> None:
    answer = await api.client.get(path)
    assert answer.status_code == 200
    assert "satchel" in answer.text.lower()


async def test_admins_see_the_last_integrity_check(cast: Cast) -> None:
    assert (await cast.admin.get("/v1/admin/integrity")).json() == {"scans": []}
    await audit.check()
    scans = (await cast.admin.get("/v1/admin/integrity")).json()["scans"]
    shown = {scan["id"]: (scan["state"], scan["scanned"], scan["orphans"]) for scan in scans}
    assert shown["profiles.userId"] == ("done", 2, 0)


async def test_who_only_asks_whether_a_server_lives_fills_no_log(
    make_api: MakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Kept()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(said, write_through=True))
    api = await make_api(log_level="info", log_format="json")
    caller = api.caller(None)
    for path in ("/livez", "/readyz", "/metrics", "/v1/users"):
        await caller.get(path)
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    told = [(line["route"], line["status"]) for line in lines if line["event"] == "request"]
    assert told == [("/readyz", 503), ("/v1/users", 401)], "no step of `migrate` was taken here"
