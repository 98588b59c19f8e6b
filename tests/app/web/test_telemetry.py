"""OpenTelemetry, which FastAPI has built in: what hot routes, commands and jobs add to it, and what
is kept out."""

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pymongo import AsyncMongoClient

from app.jobs import Claim, run_one
from models import User
from models.base import now
from models.job import Job
from tests.app.faults import failing
from tests.cast import Cast, enrol
from tests.conftest import MakeApi
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
        await cast.owner.get("/v1/users/me/profile", params={"cursor": "planted-query"})
        assert (await cast.owner.get("/v1/users/me/profile")).status_code == 500
    finished = spans.get_finished_spans()
    commands = [span for span in finished if span.kind is SpanKind.CLIENT]
    others = {span.context.span_id for span in finished if span not in commands}
    assert {span.parent.span_id for span in commands if span.parent} <= others
    told = {span.name: dict(span.attributes or {}) for span in commands}
    assert told["find profiles"]["db.collection.name"] == "profiles"
    assert told["find profiles"]["db.system.name"] == "mongodb"
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
