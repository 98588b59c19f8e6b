"""More values of a property differ than a transaction may hold: they are written in several, and
what is told is exact before, after and, as far as the list goes, meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.analytics.query.periods import Period
from app.analytics.query.queries import top_values
from app.analytics.query.reader import Filter
from app.analytics.rollup import recount, recount_properties
from app.analytics.rollup.advance import MovedOnError, advance
from app.analytics.rollup.delta import Delta
from app.analytics.rollup.property_days import due_days, group_of
from app.analytics.rollup.recount import recount_day
from models.app import App
from models.base import Raw, now
from models.day import PropertyDay, PropertyValue
from tests.app.analytics.histories import DAY, NAMES, NOTHING, clear, insert, row_of

pytestmark = pytest.mark.usefixtures("database")
NUMBER = (DAY - datetime(1970, 1, 1, tzinfo=UTC)).days
TOLD: Raw = {"app": "notes", "message": None, "session": None, "who": 1}
WHOLE = Period.of(DAY, DAY + timedelta(days=1), "day", UTC)
VALUES, LISTED = 40, 8


async def tell(values: dict[str, int]) -> None:
    """Events by how often each value is to come."""
    rows = [
        {**TOLD, "name": NAMES[0], "minutes": number, "plan": value}
        for value, count in values.items()
        for number in range(count)
    ]
    await insert([row_of(row, now() - timedelta(seconds=1)) for row in rows])
    await advance(NOTHING)


async def declare(*names: str) -> None:
    fields: Raw = {"createdAt": now(), "updatedAt": now(), "version": 1}
    row = {"analyticsProperties": list(names), **fields}
    await App.raw().replace_one({"_id": "notes"}, row, upsert=True)


async def stored() -> dict[str, int]:
    """How often each value came, as listed and as kept beside; none in two places."""
    found: dict[str, int] = {}
    async for row in PropertyDay.raw().find({}):
        assert "capped" not in row and "due" not in row
        totals = memoryview(row["totals"]).cast("Q")
        beside = PropertyValue.raw().find({"group": group_of(row["_id"])})
        told = [*zip(row["values"], totals, strict=True)]
        told += [(each["value"], each["total"]) async for each in beside]
        assert len(told) == len(dict(told)) == len(row["values"]) + row["outside"]
        found |= dict(told)
    return found


def expected() -> dict[str, int]:
    return {f"value {number:02}": 1 + number % 3 for number in range(VALUES)}


@pytest.fixture(autouse=True)
async def _small(monkeypatch: pytest.MonkeyPatch, database: Any) -> None:
    monkeypatch.setattr("app.analytics.rollup.property_values.MOST_LISTED", LISTED)
    monkeypatch.setattr(recount_properties, "MOST_WRITTEN", 5)
    monkeypatch.setattr(recount_properties, "_AT_ONCE", 3)
    await clear()
    await declare()
    await tell(expected())
    await declare("plan")


async def test_values_of_a_property_that_is_new_are_counted_in_several_transactions() -> None:
    found = await recount_day("notes", NUMBER)
    assert found.mended == {"propertydays": 1, "propertyvalues": VALUES - LISTED}
    assert await stored() == expected()
    assert (await recount_day("notes", NUMBER)).mended == {}


async def test_events_that_come_in_between_are_in_the_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    further, write = {"value 03": 2, "value 39": 9, "fresh": 1}, recount.write_apart

    async def with_more(*told: Any) -> int:
        if further:
            await tell(dict(further))
        done = await write(*told)
        if further:
            await tell(dict.fromkeys(further, 1))
            further.clear()
        return done

    true = expected() | {"value 03": 1 + 2 + 1, "value 39": 1 + 9 + 1, "fresh": 2}
    monkeypatch.setattr(recount, "write_apart", with_more)
    await recount_day("notes", NUMBER)
    assert (further, await stored()) == ({}, true)


async def test_one_that_is_killed_on_the_way_is_due_and_lists_what_is_true_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, batches = recount_properties._write_batch, list[int]()

    async def killed(name: str, batch: list[Any]) -> int:
        batches.append(len(batch))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return await write(name, batch)

    monkeypatch.setattr(recount_properties, "_write_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        await recount_day("notes", NUMBER)
    assert await due_days() == {("notes", NUMBER)}
    assert await PropertyValue.raw().count_documents({}) == 6
    top = (await top_values(WHOLE, Filter("notes"), "plan", LISTED)).rows
    assert [(row["value"], row["count"]) for row in top] == [
        (f"value {number:02}", 3) for number in range(2, 2 + 3 * LISTED, 3)
    ]
    await tell({"value 00": 1, "fresh": 1})
    await recount_day("notes", NUMBER)
    assert await stored() == expected() | {"value 00": 2, "fresh": 1}


async def test_values_of_a_property_that_is_declared_no_more_go_in_several_transactions() -> None:
    await recount_day("notes", NUMBER)
    await declare()
    found = await recount_day("notes", NUMBER)
    assert found.mended == {"propertydays": 1, "propertyvalues": VALUES - LISTED}
    assert await PropertyDay.raw().count_documents({}) == 0
    assert await PropertyValue.raw().count_documents({}) == 0


async def test_a_recount_that_wakes_late_writes_beside_no_list_that_another_has_finished() -> None:
    await recount_day("notes", NUMBER)
    with pytest.raises(MovedOnError):
        await recount.write_apart("notes", NUMBER, "plan", Delta())
    assert await stored() == expected()


async def test_what_differs_too_much_again_and_again_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(*_: Any) -> int:
        return 0

    monkeypatch.setattr(recount, "write_apart", nothing)
    with pytest.raises(MovedOnError):
        await recount_day("notes", NUMBER)
    assert await due_days() == {("notes", NUMBER)}, "the next recount begins again"
