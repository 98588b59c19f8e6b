"""OpenTelemetry, which FastAPI has built in: a hot route names its span as FastAPI's router names
the others."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from tests.cast import Cast
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
