"""Segment's limits are ours: what Segment takes is counted, and what is beyond never costs the
batch."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from models.base import now, rfc3339
from tests.cast import Cast
from tests.factories.events import roll_up
from tests.factories.segment import DONE, send, set_aside, stored, write_key
from tests.harness import Api

NUMBERS: dict[str, Any] = {
    "milliseconds": lambda at: int(at.timestamp() * 1000),
    "milliseconds as text": lambda at: str(int(at.timestamp() * 1000)),
    "seconds": lambda at: int(at.timestamp()),
    "seconds as text": lambda at: str(int(at.timestamp())),
    "seconds with a fraction": lambda at: at.timestamp(),
}


@pytest.mark.parametrize("size", [501, 2500])
async def test_a_batch_has_up_to_2500_events(cast: Cast, api: Api, size: int) -> None:
    key = await write_key(api)
    items = (
        {"type": "track", "event": "b", "userId": f"u-{n % 7}", "messageId": f"m-{n}"}
        for n in range(size)
    )
    assert (await send(key, *items)).json() == DONE
    assert (await cast.admin.get("/v1/analytics/event-counts")).json() == [
        {"eventName": "b", "count": size}
    ]


async def test_a_batch_of_2501_events_is_refused_whole(api: Api) -> None:
    key = await write_key(api)
    answer = await send(key, *({"type": "track", "event": "b", "userId": "u"} for _ in range(2501)))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/batch")
    assert await stored() == []


@pytest.mark.parametrize(
    "item",
    [
        {"type": "track", "event": "e", "properties": {"html": "x" * 31_000}},
        {"type": "page", "properties": {"html": "x" * 31_000}},
        {"type": "identify", "traits": {"about": "x" * 31_000}},
        {"type": "group", "groupId": "g", "traits": {"about": "x" * 31_000}},
    ],
    ids=lambda item: item["type"],
)
async def test_an_event_has_up_to_32_kilobytes(api: Api, item: Any) -> None:
    assert (
        await send(await write_key(api), {**item, "userId": "u", "messageId": "m"})
    ).json() == DONE
    (row,) = await stored()
    assert len(str(row["eventData"])) > 31_000
    assert await set_aside() == []


@pytest.mark.parametrize("rolled_up", [False, True], ids=["raw", "rolled up"])
@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({"type": "track", "event": "x" * 300}, "x" * 300),
        ({"type": "page", "name": "t" * 260}, f"Viewed {'t' * 260} Page"),
        ({"type": "screen", "name": "\u4e16" * 5000}, "Viewed " + "\u4e16" * 5000 + " Screen"),
    ],
    ids=["track", "page", "screen"],
)
async def test_a_long_name_is_counted_by_its_beginning_and_kept_whole(
    cast: Cast, api: Api, item: Any, name: str, rolled_up: bool
) -> None:
    assert (
        await send(await write_key(api), {**item, "userId": "u", "messageId": "m"})
    ).json() == DONE
    (row,) = await stored()
    assert (row["eventName"], row["longEventName"]) == (name[:256], name)
    if rolled_up:
        await roll_up()
    for params in ({}, {"eventName": name[:256]}, {"interval": "day"}):
        rows = (await cast.admin.get("/v1/analytics/event-counts", params=params)).json()
        assert sum(each["count"] for each in rows) == 1
        assert {each["eventName"] for each in rows} == {name[:256]}


async def test_a_name_that_fits_is_kept_once(api: Api) -> None:
    await send(await write_key(api), {"type": "track", "event": "x" * 256, "userId": "u"})
    (row,) = await stored()
    assert row["eventName"] == "x" * 256
    assert "longEventName" not in row


@pytest.mark.parametrize("field", ["timestamp", "originalTimestamp"])
@pytest.mark.parametrize("spell", NUMBERS.values(), ids=NUMBERS)
async def test_a_time_may_be_a_number(api: Api, spell: Any, field: str) -> None:
    happened = (now() - timedelta(hours=30)).replace(microsecond=0)
    await send(
        await write_key(api), {"type": "track", "event": "e", "userId": "u", field: spell(happened)}
    )
    assert [row["timestamp"] for row in await stored()] == [happened]


@pytest.mark.parametrize("spell", [*NUMBERS.values(), rfc3339], ids=[*NUMBERS, "RFC 3339"])
async def test_the_clock_is_corrected_by_numbers_too(api: Api, spell: Any) -> None:
    sent = (now() + timedelta(hours=3)).replace(microsecond=0)
    item = {
        "type": "track",
        "event": "e",
        "userId": "u",
        "timestamp": spell(sent - timedelta(minutes=10)),
    }
    await send(await write_key(api), item, sentAt=spell(sent))
    (row,) = await stored()
    assert (
        row["receivedAt"] - timedelta(minutes=11)
        < row["timestamp"]
        < row["receivedAt"] - timedelta(minutes=9)
    )
    assert row["originalTimestamp"] == sent - timedelta(minutes=10)


ODD = [True, 1e300, 10**18, [], {}, "soon", 20261107, "20261107", "2026", "12.5", -1]


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_a_time_that_is_none_is_when_it_came_in(api: Api, odd: Any) -> None:
    before: datetime = now()
    await send(
        await write_key(api), {"type": "track", "event": "e", "userId": "u", "timestamp": odd}
    )
    (row,) = await stored()
    assert before <= row["timestamp"] == row["receivedAt"]


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_by_a_clock_that_tells_no_time_nothing_is_corrected(api: Api, odd: Any) -> None:
    happened = (now() - timedelta(hours=30)).replace(microsecond=0)
    item = {"type": "track", "event": "e", "userId": "u", "timestamp": rfc3339(happened)}
    await send(await write_key(api), item, sentAt=odd)
    assert [row["timestamp"] for row in await stored()] == [happened]


async def test_a_date_before_numbers_count_is_taken(api: Api) -> None:
    item = {"type": "track", "event": "e", "userId": "u", "timestamp": "1999-12-31"}
    await send(await write_key(api), item)
    assert [rfc3339(row["timestamp"]) for row in await stored()] == ["1999-12-31T00:00:00.000Z"]
