"""The gauges of card events: what waits, what was given up, and since when; nothing where it cannot
be known."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from prometheus_client import REGISTRY
from pymongo import AsyncMongoClient

from app import work
from app.cards.gauges import measure_backlog
from app.work import LOOPS, keep_gauges
from models.base import now
from models.card_event import CardEvent
from tests.app.faults import failing
from tests.cast import Programme
from tests.harness import Api

COUNT, AGE = "satchel_card_event_backlog", "satchel_card_event_oldest_seconds"


def shown(name: str) -> dict[str, float | None]:
    return {
        state: REGISTRY.get_sample_value(name, {"state": state}) for state in ("waiting", "dead")
    }


async def happened(hours: int, state: str) -> None:
    of: Any = {"account_id": ObjectId(), "subject": ObjectId(), "sequence": 1, "state": state}
    await CardEvent(type="card.updated", created_at=now() - timedelta(hours=hours), **of).add()


async def test_what_waits_and_what_was_given_up_is_counted_and_how_old_it_is(
    listened: Programme,
) -> None:
    await measure_backlog()
    assert (shown(COUNT), shown(AGE)) == ({"waiting": 0, "dead": 0}, {"waiting": 0, "dead": 0})
    for hours, state in ((9, "delivered"), (3, "waiting"), (2, "waiting"), (5, "dead")):
        await happened(hours, state)
    await measure_backlog()
    assert shown(COUNT) == {"waiting": 2, "dead": 1}
    ages = shown(AGE)
    assert [round((ages[state] or 0) / 3600) for state in ("waiting", "dead")] == [3, 5]


async def test_a_worker_measures_again_and_again_and_shows_nothing_that_it_does_not_know(
    api: Api, listened: Programme, client: AsyncMongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "EVERY_SECONDS", 0.01)
    stop = asyncio.Event()

    async def until(count: dict[str, float | None]) -> None:
        async with asyncio.timeout(20):
            while shown(COUNT) != count:
                await asyncio.sleep(0.01)

    assert keep_gauges in LOOPS
    running = asyncio.create_task(keep_gauges(api.settings, stop))
    await until({"waiting": 0, "dead": 0})
    async with failing(client, "aggregate", mode="alwaysOn", errorCode=96):
        await until({"waiting": None, "dead": None})
        assert shown(AGE) == {"waiting": None, "dead": None}
    await happened(1, "dead")
    await until({"waiting": 0, "dead": 1})
    stop.set()
    await running
