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


async def ask(caller: Caller, path: str, start: float = 0, end: float = 48, **params: Any) -> Any:
    answer = await caller.get(
        f"/v1/analytics/{path}", params={"from": at(start), "to": at(end), **params}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()
