"""What an answer may come to: so many rows, so many names; a snapshot that is gone; the 23 and 25
hours of days."""

from array import array
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pymongo import AsyncMongoClient

from app.analytics.query.periods import Period
from app.analytics.query.queries import add_slots
from app.analytics.rollup.joins import carry_out_joins
from app.analytics.rollup.slots import pack
from app.errors import Invalid
from models.base import Raw
from models.day import SLOTS
from tests.app.faults import failing
from tests.cast import Cast
from tests.factories.asking import START, ask, at, happen
from tests.factories.events import counts, roll_up
from tests.factories.events import happen as happen_now
from tests.harness import Api

SPAN = {"from": at(0), "to": at(60)}


@pytest.mark.parametrize("rolled_up", [True, False])
async def test_an_answer_has_so_many_rows_at_most(
    cast: Cast, rolled_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await happen(cast.owner, (-160, "before"), (1, "a"), (13, "b"), (14, "a"))
    if rolled_up:
        await roll_up()

    async def refused(path: str = "event-counts", **more: Any) -> Any:
        answer = await cast.admin.get(f"/v1/analytics/{path}", params=SPAN | more)
        return answer.status_code == 422 and [
            (each["pointer"], each["code"]) for each in answer.json()["errors"]
        ]

    monkeypatch.setattr("app.analytics.query.queries.MOST_ROWS", 6)  # two names in three days
    assert len(await ask(cast.admin, "event-counts", 0, 60, interval="day")) == 6
    assert await refused(interval="day", compare="previous") == [
        ("?interval", "too_many")
    ]  # there was one name more
    monkeypatch.setattr("app.analytics.query.queries.MOST_ROWS", 5)
    assert await refused(interval="day") == [("?interval", "too_many")]
    assert (
        await refused(interval="day", eventName="a"),
        await refused("category-counts", interval="day"),
    ) == (0, 0)
    assert [
        (row["eventName"], row["count"])
        for row in await ask(cast.admin, "top", 0, 60, interval="hour")
    ] == [
        ("a", 2),
        ("b", 1),
    ]
    monkeypatch.setattr("app.analytics.query.queries.MOST_ROWS", 1)
    assert await refused() == [("?from", "too_many")]


def test_no_more_names_are_summed_than_have_room_in_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.analytics.query.queries.MOST_ROWS", 20)
    midnight = START.replace(hour=0)
    period = Period.of(midnight, midnight + timedelta(days=4), "day", UTC)
    summed: list[str] = []

    def documents() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            summed.append(f"name-{number}")
            yield {
                "day": midnight,
                "eventName": summed[-1],
                "counts": pack(array("I", [1] * SLOTS)),
            }

    with pytest.raises(Invalid):
        add_slots(period, documents(), "counts", "eventName")
    assert len(summed) == 6


@pytest.mark.parametrize("code", [239, 246])
@pytest.mark.parametrize(("path", "params"), [("funnel", {"step": ["a", "b"]}), ("live", {})])
async def test_a_snapshot_that_is_gone_is_taken_anew_and_else_is_no_fault_of_ours(
    cast: Cast, client: AsyncMongoClient[Raw], path: str, params: Any, code: int
) -> None:
    await happen_now(cast.owner, "a")
    for mode, status in (({"times": 1}, 200), ({"times": 2}, 200), ("alwaysOn", 503)):
        async with failing(client, "aggregate", mode=mode, errorCode=code):
            answer = await cast.admin.get(f"/v1/analytics/{path}", params=params)
        assert answer.status_code == status
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("rolled_up", [True, False])
async def test_seven_days_are_seven_of_the_calendar_where_the_clock_changes(
    cast: Cast, rolled_up: bool
) -> None:
    await happen(cast.owner, (-12, "a"))  # on the 24th; the 25th has 25 hours
    if rolled_up:
        await roll_up()
    span = {
        "from": "2026-10-23T22:00:00Z",
        "to": "2026-11-23T23:00:00Z",
        "interval": "day",
        "tz": "Europe/Berlin",
    }
    rows = (
        await cast.admin.get("/v1/analytics/active-users", params={**span, "rolling": True})
    ).json()
    assert [row["activeUsers"] for row in rows] == [1] + [0] * 30
    assert [row["weekly"] for row in rows] == [1] * 7 + [0] * 24
    assert [row["monthly"] for row in rows] == [1] * 30 + [0]


@pytest.mark.parametrize(
    ("zone", "start", "hours"),
    [
        ("Europe/Berlin", "2026-10-24T22:00:00Z", [24] * 6 + [25]),
        ("Europe/Berlin", "2026-03-28T23:00:00Z", [24] * 6 + [23]),
        ("UTC", "0002-01-01T00:00:00Z", [24]),  # the calendar goes no further
    ],
)
def test_the_days_before_are_whole_days_of_the_calendar(
    zone: str, start: str, hours: list[int]
) -> None:
    begins = datetime.fromisoformat(start)
    day = timedelta(hours=hours[-1])
    wider = Period.of(begins, begins + day, "day", ZoneInfo(zone)).with_days_before(6)
    assert [(bucket.end - bucket.start) / 3_600_000 for bucket in wider.buckets] == hours


async def test_who_turned_out_to_be_one_person_is_one_in_the_last_minutes_too(
    cast: Cast, api: Api
) -> None:
    key = await api.key("events:write", app_id="notes")
    await happen_now(key, "x", anonymousId="anon")
    await happen_now(key, "x", userId="ext")
    await roll_up()
    assert sum(row["users"] for row in await counts(cast, "live", minutes=5)) == 2
    assert (
        await key.post("/v1/identify", json={"anonymousId": "anon", "userId": "ext"})
    ).status_code == 200
    await carry_out_joins()
    await happen_now(key, "x", anonymousId="anon")
    await happen_now(key, "x", userId="ext")
    assert max(row["users"] for row in await counts(cast, "live", minutes=5)) == 1
    await roll_up()
    assert max(row["users"] for row in await counts(cast, "live", minutes=5)) == 1
