"""Events by the minute."""

from datetime import UTC, datetime, timedelta
from typing import Any

from models.base import rfc3339
from tests.harness import Caller

START = datetime(
    2026, 10, 24, 12, tzinfo=UTC
)  # in the night that follows the clocks of Berlin go back


def at(hours: float) -> str:
    return rfc3339(START + timedelta(hours=hours))


async def happen(caller: Caller, *events: tuple[float, str], **fields: Any) -> None:
    body = [
        {"appId": "notes", "eventName": name,
        "eventCategory": "error" if name == "failed" else "custom",
         "timestamp": at(hours), **fields}
        for hours, name in events
    ]  # fmt: skip
    assert (await caller.post("/v1/analytics/events", json=body)).json()["accepted"] == len(events)
