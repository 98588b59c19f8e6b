"""The unmodified Segment client for Python: 10,000 events with the server restarted twice in the
middle."""

import time
from pathlib import Path
from typing import Any

import pytest
from segment.analytics.client import Client

from tests.serving import served

EVENTS = 10_000


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_every_event_is_counted_exactly_once_through_two_restarts(
    mongodb_uri: str, tmp_path: Path, packed: bool
) -> None:
    lost: list[Any] = []
    with served(mongodb_uri, tmp_path) as satchel:
        client = Client(
            satchel.key("events:write", app_id="notes"),
            host=satchel.url,
            gzip=packed,
            max_queue_size=EVENTS,
            upload_interval=0.1,
            on_error=lambda error, items: lost.append((error, items)),
        )
        for number in range(EVENTS):
            client.track(f"person-{number % 500}", f"event {number % 7}", {"number": number})
        stored = satchel.database["analytics"]
        for share in (0.2, 0.6):
            _wait_until(lambda least=share * EVENTS: stored.estimated_document_count() >= least)  # type: ignore[misc]
            satchel.stop()
            satchel.start()
        client.shutdown()
        rows = satchel.get("/v1/analytics/event-counts", appId="notes")
        people = satchel.database["analytics"].distinct("externalId")
        assert stored.count_documents({}) == EVENTS
        assert sum(row["count"] for row in rows) == EVENTS
        assert {row["eventName"] for row in rows} == {f"event {number}" for number in range(7)}
        assert len(people) == 500
        assert satchel.get("/v1/analytics/quarantine")["items"] == []
    assert lost == []


def _wait_until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
