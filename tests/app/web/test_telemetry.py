"""OpenTelemetry, which FastAPI has built in: what hot routes, commands and jobs add to it, and what
is kept out."""

import asyncio
import io
import itertools
import re
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pymongo import AsyncMongoClient

from app.jobs import Claim, run_one
from app.web.observability.measures import metrics
from models import User
from models.base import now
from models.job import Job
from tests.app.faults import failing
from tests.cast import Cast, enrol
from tests.conftest import MakeApi
from tests.factories.log_lines import Kept
from tests.factories.operations import operations
from tests.harness import Api


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


async def test_the_route_is_in_the_span_of_hot_and_other_routes(
    spans: InMemorySpanExporter, api: Api, cast: Cast
):
    spans.clear()
    await cast.owner.get("/v1/users/me/apps/notes/data/a")
    await cast.owner.get("/v1/users/me/profile")
    served = [span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER]
    named = {span.name: dict(span.attributes or {})["http.route"] for span in served}
    hot, other = "/v1/users/{userId}/apps/{appId}/data/{dataKey}", "/v1/users/{userId}/profile"
    assert named == {f"GET {hot}": hot, f"GET {other}": other}


async def test_commands_are_spans_of_their_request_without_a_value(
    spans: InMemorySpanExporter, make_api: MakeApi, client: AsyncMongoClient[Any]
) -> None:
    api = await make_api(trace_database=True)
    cast = await enrol(api)
    spans.clear()
    path = "/v1/users/me/apps/notes/data/planted-key"
    await cast.owner.put(path, json={"secret": "planted-value"})
    async with failing(client, "find", mode={"times": 1}, errorCode=8000, errorMessage="planted"):
        await cast.owner.get("/v1/users/me/activity", params={"cursor": "planted-query"})
        assert (await cast.owner.get("/v1/users/me/activity")).status_code == 500
    finished = spans.get_finished_spans()
    commands = [span for span in finished if span.kind is SpanKind.CLIENT]
    others = {span.context.span_id for span in finished if span not in commands}
    assert {span.parent.span_id for span in commands if span.parent} <= others
    told = {span.name: dict(span.attributes or {}) for span in commands}
    assert told["find activities"]["db.collection.name"] == "activities"
    assert told["find activities"]["db.system.name"] == "mongodb"
    failed = [span for span in commands if span.status.status_code is StatusCode.ERROR]
    assert [dict(span.attributes or {})["error.type"] for span in failed] != []
    shown = " ".join(span.to_json() for span in commands)
    assert "planted" not in shown
    assert "planted-query" not in " ".join(span.to_json() for span in finished)


async def test_no_command_is_a_span_without_the_setting_or_outside_a_trace(
    spans: InMemorySpanExporter, api: Api, cast: Cast, make_api: MakeApi
) -> None:
    spans.clear()
    await cast.owner.get("/v1/users/me/profile")
    kinds = {span.kind for span in spans.get_finished_spans()}
    assert SpanKind.SERVER in kinds and SpanKind.CLIENT not in kinds
    await make_api(trace_database=True)
    spans.clear()
    await User.raw().find_one({})
    assert spans.get_finished_spans() == ()


@pytest.mark.usefixtures("database")
async def test_a_job_is_a_span_and_one_that_fails_says_no_more(spans: InMemorySpanExporter) -> None:
    async def fails(_: Claim) -> None:
        raise ValueError("planted")

    for name, handler in (("a", fails), ("b", lambda _: asyncio.sleep(0))):
        await Job.raw().insert_one(Job(id=name, kind=name, run_at=now()).stored())
        await run_one({name: handler})
    found = {span.name: span for span in spans.get_finished_spans()}
    assert {name: span.status.status_code for name, span in found.items()} == {
        "job a": StatusCode.ERROR,
        "job b": StatusCode.UNSET,
    }
    assert "planted" not in found["job a"].to_json()


PLANTED = {
    "email": "planted.person@example.com",
    "key": "planted-data-key",
    "token": "sk_planted_token",
    "id": "abcdefabcdefabcdefabcdef",
}


async def test_what_was_sent_is_in_no_span_no_metric_and_no_line_of_the_log(
    spans: InMemorySpanExporter,
    make_api: MakeApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of every route, in its path, its query, its headers and its body, by whoever asks; an id in
    the log is that of a caller alone."""
    out = Kept()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(out, write_through=True))
    api = await make_api(trace_database=True, log_level="info")
    cast = await enrol(api)
    spans.clear()
    headers = {"Idempotency-Key": PLANTED["key"], "User-Agent": PLANTED["email"]}
    planted = itertools.cycle(PLANTED.values())
    everything = " ".join(PLANTED.values())
    for name in operations():
        method, template = name.split(" ")
        options: dict[str, Any] = {"headers": headers}
        if method in ("POST", "PUT", "PATCH"):
            options["json"] = {"email": PLANTED["email"], "token": PLANTED["token"]}
        for caller in (cast.admin, cast.owner, api.caller(PLANTED["token"])):
            path = re.sub(r"{\w+}", next(planted), template)
            await caller.request(method, path, params={"email": everything}, **options)
    await cast.nobody.get(f"/{PLANTED['key']}/{PLANTED['email']}", params={"x": everything})
    finished = spans.get_finished_spans()
    assert len(finished) > 3 * len(operations())
    told = [*(span.to_json() for span in finished), metrics()[0].decode(), out.getvalue().decode()]
    assert out.getvalue().count(b"\n") > len(operations())
    assert {each for each in PLANTED.values() for text in told if each in text} == set()
    paths = {dict(span.attributes or {}).get("url.path", "") for span in finished}
    assert "/v1/users/{userId}" in paths
