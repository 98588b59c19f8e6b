"""The boundary of `asOf`, to the millisecond: rollups hold what came in before it, and the unrolled
events are all else, once."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from app.analytics.deletion import subtract_events
from app.analytics.query.periods import Period
from app.analytics.query.queries import count_events
from app.analytics.query.reader import Filter
from app.analytics.rollup.advance import advance
from app.database import transaction
from models.analytics import Analytics
from models.base import Raw
from models.day import CountDay
from models.rollup_state import RollupState
from tests.app.analytics.histories import (
    DAY,
    NAMES,
    NOTHING,
    Clock,
    clear,
    insert,
    recount_all,
    row_of,
)
from tests.app.analytics.truth import differences

MILLISECOND = timedelta(milliseconds=1)


def told(who: Any = 1, minutes: int = 5, session: str | None = "s") -> Raw:
    what = {"app": "notes", "name": NAMES[0], "who": who, "session": session, "minutes": minutes}
    return {**what, "message": None, "plan": "team"}


async def rolled_up() -> int:
    """How many events the rollups hold."""
    rows = await CountDay.raw().find({}).to_list()
    return sum(sum(memoryview(row["counts"]).cast("I")) for row in rows)


async def state() -> RollupState:
    return await RollupState.read()


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 8, 9, 10])
async def test_a_full_window_counts_its_last_millisecond_once(
    database: AsyncDatabase[Any], clock: Clock, window: int
) -> None:
    await clear()
    began = clock.at
    rows = [row_of(told(who=number % 3), began + number // 3 * MILLISECOND) for number in range(9)]
    await insert(rows)
    clock.move(3)
    seen = 0
    while added := await advance(NOTHING, window):
        seen += added
        assert await rolled_up() == seen
        assert await differences(DAY, ["UTC"]) == []
        passed = (await state()).as_of
        assert seen == sum(row["receivedAt"] < passed for row in rows)
    assert (seen, (await state()).as_of) == (9, clock.at)


@pytest.mark.parametrize("window", [4, 5, 100])
async def test_what_comes_in_at_the_end_of_the_window_waits_for_the_next(
    database: AsyncDatabase[Any], clock: Clock, window: int
) -> None:
    await clear()
    await insert([row_of(told(who=number), clock.at + number * MILLISECOND) for number in range(4)])
    clock.move(3)
    trail = MILLISECOND
    assert await advance(trail, window) == 2
    assert ((await state()).as_of, await rolled_up()) == (clock.at - trail, 2)
    assert await differences(DAY, ["UTC"]) == []
    clock.move(2)
    assert await advance(trail, window) == 2
    assert await rolled_up() == 4
    assert await differences(DAY, ["UTC"]) == []


@pytest.mark.parametrize("late", [0, 1])
async def test_an_event_of_the_very_millisecond_of_as_of_is_in_the_tail_and_then_rolled_up(
    database: AsyncDatabase[Any], clock: Clock, late: int
) -> None:
    await clear()
    await insert([row_of(told(), clock.at)])
    clock.move()
    assert await advance(NOTHING) == 1
    assert (await state()).as_of == clock.at
    await insert([row_of(told(who=2, minutes=7), clock.at + late * MILLISECOND)])
    assert await differences(DAY, ["UTC"]) == []
    clock.move(1 + late)
    assert await advance(NOTHING) == 1
    assert await rolled_up() == 2
    assert await differences(DAY, ["UTC"]) == []


@pytest.mark.parametrize("late", [-1, 0, 1], ids=["before", "at", "after"])
async def test_the_edge_of_a_span_counts_an_event_near_as_of_once(
    database: AsyncDatabase[Any], clock: Clock, late: int
) -> None:
    await clear()
    as_of = clock.at
    await insert([row_of(told(), as_of - 2 * MILLISECOND)])
    if late < 0:
        await insert([row_of(told(), as_of + late * MILLISECOND)])
    await advance(NOTHING)
    if late >= 0:
        await insert([row_of(told(), as_of + late * MILLISECOND)])
    start = DAY + timedelta(minutes=1)  # no whole slot: this part is counted from raw events
    span = Period.of(start, start + timedelta(minutes=9), None, ZoneInfo("UTC"))
    (row,) = (await count_events(span, Filter(app_id="notes"), "eventName")).rows
    assert row["count"] == 2


async def take_out(going: Raw) -> None:
    """What the deletion does of one event."""

    async def work(session: Any) -> None:
        rows = await Analytics.raw().find({"_id": going["_id"]}, session=session).to_list()
        await subtract_events(rows, session)
        await Analytics.raw().delete_many({"_id": going["_id"]}, session=session)

    await transaction(work)


@pytest.mark.parametrize("late", [-1, 0, 1], ids=["before", "at", "after"])
async def test_erasing_an_event_near_as_of_takes_out_what_was_counted(
    database: AsyncDatabase[Any], clock: Clock, late: int
) -> None:
    await clear()
    counted = [row_of(told(), clock.at - MILLISECOND), row_of(told(who=2), clock.at - MILLISECOND)]
    await insert(counted)
    assert await advance(NOTHING) == 2
    assert (await state()).as_of == clock.at
    coming = [row_of(told(who=1, minutes=9), clock.at + after * MILLISECOND) for after in (0, 1)]
    await insert(coming)
    await take_out(counted[0] if late < 0 else coming[late])
    assert await rolled_up() == (1 if late < 0 else 2)
    assert await differences(DAY, ["UTC"]) == []
    clock.move(2)
    await advance(NOTHING)
    assert await rolled_up() == 3
    assert await differences(DAY, ["UTC"]) == []
    assert await recount_all(clock) == []


async def test_a_recount_holds_what_came_in_before_as_of_and_nothing_else(
    database: AsyncDatabase[Any], clock: Clock
) -> None:
    await clear()
    await insert([row_of(told(), clock.at - MILLISECOND)])
    await advance(NOTHING)
    await insert(
        [row_of(told(minutes=20), clock.at), row_of(told(minutes=30), clock.at + MILLISECOND)]
    )
    assert await recount_all(clock) == []
    assert await rolled_up() == 1
    assert await differences(DAY, ["UTC"]) == []
