"""What an answer may come to: so many rows, so many names; a snapshot that is gone; the 23 and 25 hours of days."""

from array import array
from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any

import pytest

from app.analytics.periods import Period
from app.analytics.queries import add_slots
from app.analytics.slots import pack
from app.errors import Invalid
from models.day import SLOTS
from tests.app.analytics.test_erasure import roll_up
from tests.app.analytics.test_queries import START, ask, at, happen
from tests.cast import Cast

SPAN = {"from": at(0), "to": at(60)}


@pytest.mark.parametrize("rolled_up", [True, False])
async def test_an_answer_has_so_many_rows_at_most(cast: Cast, rolled_up: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    await happen(cast.owner, (-20, "before"), (1, "a"), (13, "b"), (14, "a"))
    if rolled_up:
        await roll_up()

    async def refused(path: str = "event-counts", **more: Any) -> Any:
        answer = await cast.admin.get(f"/v1/analytics/{path}", params=SPAN | more)
        return answer.status_code == 422 and [(each["pointer"], each["code"]) for each in answer.json()["errors"]]

    monkeypatch.setattr("app.analytics.queries.MOST_ROWS", 6)  # two names in three days
    assert len(await ask(cast.admin, "event-counts", 0, 60, interval="day")) == 6
    assert await refused(interval="day", compare="previous") == [("?interval", "too_many")]  # there was one name more
    monkeypatch.setattr("app.analytics.queries.MOST_ROWS", 5)
    assert await refused(interval="day") == [("?interval", "too_many")]
    assert (await refused(interval="day", eventName="a"), await refused("category-counts", interval="day")) == (0, 0)
    assert [(row["eventName"], row["count"]) for row in await ask(cast.admin, "top", 0, 60, interval="hour")] == [
        ("a", 2),
        ("b", 1),
    ]
    monkeypatch.setattr("app.analytics.queries.MOST_ROWS", 1)
    assert await refused() == [("?from", "too_many")]


def test_no_more_names_are_summed_than_have_room_in_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.analytics.queries.MOST_ROWS", 20)
    midnight = START.replace(hour=0)
    period = Period.of(midnight, midnight + timedelta(days=4), "day", UTC)
    summed: list[str] = []

    def documents() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            summed.append(f"name-{number}")
            yield {"day": midnight, "eventName": summed[-1], "counts": pack(array("I", [1] * SLOTS))}

    with pytest.raises(Invalid):
        add_slots(period, documents(), "counts", "eventName")
    assert len(summed) == 6
