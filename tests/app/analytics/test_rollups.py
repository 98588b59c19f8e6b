"""Rollups equal a recount from raw: random histories, late and doubled events, erasures, crashes,
five timezones."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pymongo.asynchronous.database import AsyncDatabase

from app.analytics.rollup import property_values
from app.analytics.rollup.advance import MovedOnError, advance
from app.analytics.rollup.joins import settle_merges
from app.analytics.rollup.recount import recount_day
from models.base import Raw, now
from models.rollup_state import RollupState
from tests.app.analytics.histories import (
    AT_AS_OF,
    CHAIN,
    CUT,
    DAY,
    NAMES,
    NOTHING,
    Clock,
    came,
    clear,
    insert,
    play,
    recount_all,
    row_of,
    step,
)
from tests.app.analytics.truth import CLOCK_CHANGES, ZONES, differences


@example(steps=AT_AS_OF, around=DAY, zone="UTC", most=2)
@example(steps=[came(0), ("advance", (30, 0))], around=DAY, zone="UTC", most=2)
@example(
    steps=[*AT_AS_OF, ("advance", (30, 1)), came(2), ("advance", (30, 1))],
    around=DAY,
    zone="UTC",
    most=2,
)
@example(steps=[*AT_AS_OF, ("erase", 0)], around=DAY, zone="UTC", most=2)
@example(steps=[*AT_AS_OF, ("recount", 0)], around=DAY, zone="UTC", most=2)
@example(steps=CUT, around=DAY, zone="UTC", most=2)
@example(steps=CHAIN, around=DAY, zone="UTC", most=2)
@example(
    steps=[*CHAIN, ("undo", "e:1"), came("a:1", "e:1", 1), ("advance", (30, 1))],
    around=DAY,
    zone="UTC",
    most=2,
)
@example(
    steps=[*CHAIN, ("settle", 0), ("undo", "a:1"), came("a:1")], around=DAY, zone="UTC", most=2
)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(step, min_size=3, max_size=14),
    around=st.sampled_from(CLOCK_CHANGES),
    zone=st.sampled_from(ZONES),
    most=st.sampled_from([1, 2, 3, 500]),
)
async def test_rollups_equal_a_recount_whatever_happened(
    database: AsyncDatabase[Raw],
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    steps: list[Any],
    around: datetime,
    zone: str,
    most: int,
) -> None:
    """`most` values of a property are listed on a day, the others kept apart."""
    monkeypatch.setattr(property_values, "MOST_LISTED", most)
    await clear()
    await play(steps, around, clock, monkeypatch)
    assert (
        await differences(around, [zone]) == []
    )  # what is rolled up, and the unrolled events, against all raw events
    clock.move()
    while await advance(NOTHING):
        continue
    await settle_merges()
    assert await differences(around) == []
    assert await recount_all(clock) == []


async def test_a_worker_that_was_overtaken_adds_nothing(
    database: AsyncDatabase[Raw], monkeypatch: Any
) -> None:
    await clear()
    rows = [
        row_of(
            {
                "app": "notes",
                "name": NAMES[0],
                "who": 1,
                "session": None,
                "minutes": 5,
                "message": None,
                "plan": None,
            },
            now(),
        )
        for _ in range(5)
    ]
    await insert(rows)
    await asyncio.sleep(0.002)
    answers = await asyncio.gather(*(advance(NOTHING) for _ in range(5)), return_exceptions=True)
    assert {answer for answer in answers if isinstance(answer, int)} <= {0, 5}
    assert [answer for answer in answers if answer == 5] == [5]
    assert all(isinstance(answer, int | MovedOnError) for answer in answers)
    assert await differences(DAY) == []


async def test_the_recount_heals_a_straggler_and_says_what_it_found(
    database: AsyncDatabase[Raw],
) -> None:
    await clear()
    told = {
        "app": "notes",
        "name": NAMES[0],
        "who": 1,
        "session": "s",
        "minutes": 5,
        "message": None,
        "plan": "team",
    }
    await insert([row_of(told, now())])
    await asyncio.sleep(0.002)
    await advance(NOTHING)
    straggler = row_of(
        told, now() - timedelta(hours=1)
    )  # committed after the rollups had passed it
    await insert([straggler])
    await RollupState.raw().update_one({}, {"$set": {"asOf": now()}})
    found = await recount_day("notes", (DAY - datetime(1970, 1, 1, tzinfo=UTC)).days)
    assert found.events == 2
    assert found.mended == {
        "countdays": 1,
        "propertydays": 1,
        "analyticssessions": 1,
        "sessiondays": 1,
    }
    assert await differences(DAY) == []
    assert (await recount_day("notes", found.day)).mended == {}
