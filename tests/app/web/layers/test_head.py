"""HEAD answers wherever GET does: the same status and headers, and no body."""

import asyncio
from typing import Any

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from app.web.layers.head import Heads
from tests.cast import Cast
from tests.factories.operations import PUBLIC, RULES, request_of

READS = [route for route in [*RULES, *sorted(PUBLIC)] if route.startswith("GET ")]
VARIES = {
    "x-request-id",
    "satchel-as-of",
    "satchel-rollup-lag",
    "satchel-staleness",
    "date",
    "content-length",
}


def told(answer: httpx2.Response) -> tuple[int, dict[str, str]]:
    """Status and headers, without those that differ from one answer to the next."""
    kept = {name: value for name, value in answer.headers.items() if name not in VARIES}
    return answer.status_code, kept


@pytest.mark.parametrize(
    "route", [*READS, "GET /docs", "GET /console", "GET /openapi.json", "GET /nothing"]
)
async def test_head_is_get_without_the_body(cast: Cast, route: str) -> None:
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    path, options = route.removeprefix("GET "), {}
    if route in RULES:
        _, path, options = request_of(route, cast.owner.id)
    for caller in (cast.admin, cast.nobody):
        found, head = (
            await caller.get(path, **options),
            await caller.request("HEAD", path, **options),
        )
        assert head.content == b""
        assert told(head) == told(found)
        if route != "GET /metrics":
            assert head.headers.get("content-length") == found.headers.get("content-length")


async def test_what_cannot_be_read_has_no_head(cast: Cast) -> None:
    for path in ("/v1/analytics/events", f"/v1/users/{cast.owner.id}/logins"):
        answer = await cast.admin.request("HEAD", path)
        assert (answer.status_code, answer.content) == (405, b"")
    refused = await cast.admin.request("DELETE", "/v1/users")
    assert refused.headers["allow"] == "GET, HEAD, POST"
    assert "HEAD" in (await cast.admin.post("/v1/users/me/apps/notes/data/k")).headers["allow"]


async def test_a_head_is_measured_as_one(cast: Cast) -> None:
    await cast.owner.request("HEAD", "/v1/users/me/profile")
    await cast.owner.request("HEAD", "/v1/users/me/apps/notes/data/k")
    metrics = (await cast.nobody.get("/metrics")).text
    for route in ("/v1/users/{userId}/profile", "/v1/users/{userId}/apps/{appId}/data/{dataKey}"):
        assert f'satchel_request_seconds_count{{method="HEAD",route="{route}"' in metrics


async def test_a_stream_ends_when_only_its_head_is_asked_for() -> None:
    sent: list[Message] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def never() -> Any:
        await asyncio.Event().wait()

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "HEAD"}
    async with asyncio.timeout(10):
        await Heads(stream)(scope, never, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert scope["method"] == "HEAD"
