"""Events that happen, are rolled up, and are counted."""

from datetime import timedelta
from typing import Any

from app.analytics.rollup.advance import advance
from models.base import now, rfc3339
from models.rollup_state import RollupState
from tests.cast import Cast
from tests.harness import Caller

NOTHING = timedelta(0)


async def roll_up() -> None:
    await RollupState.ensure()
    while await advance(timedelta(milliseconds=-5)):
        continue


async def happen(
    caller: Caller, name: str, times: int = 1, ago: timedelta = NOTHING, **fields: Any
) -> None:
    event = {
        "appId": "notes",
        "eventName": name,
        "eventCategory": "custom",
        "timestamp": rfc3339(now() - ago),
        **fields,
    }
    answer = await caller.post("/v1/analytics/events", json=[event] * times)
    assert answer.json()["accepted"] == times


async def counts(cast: Cast, path: str = "event-counts", **params: Any) -> Any:
    return (await cast.admin.get(f"/v1/analytics/{path}", params=params)).json()
