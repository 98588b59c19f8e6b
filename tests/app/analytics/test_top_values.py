"""Top values of a property: the frequent ones, whatever came first; the same before and after the
rollups pass."""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.analytics.jobs import recount_lately
from app.analytics.rollup import property_values
from app.analytics.rollup.property_days import cap_days
from app.analytics.rollup.slots import EPOCH
from app.jobs import claim
from app.jobs.periodic import ensure_periodic
from app.migrations import s0005_frequent_values as step
from models.analytics import Analytics
from models.app import App
from models.base import Raw, now, rfc3339
from models.day import PropertyDay, PropertyValue
from tests.app.analytics.conftest import Place, opened, seal_and_archive
from tests.app.analytics.truth import top_of
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.events import roll_up

LISTED = 3
DAY = timedelta(days=1)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three values of a day are listed."""
    monkeypatch.setattr(property_values, "MOST_LISTED", LISTED)


def today() -> datetime:
    return now().replace(hour=0, minute=0, second=0, microsecond=0)


async def come(values: list[str], app: str = "notes", **fields: Any) -> None:
    """One event of each value comes in, two days ago, a second apart."""
    at, received = today() - 2 * DAY, now()
    rows = [
        {
            "_id": ObjectId(),
            "appId": app,
            "eventName": "view",
            "eventCategory": "engagement",
            "eventData": {"path": value},
            "timestamp": at + timedelta(seconds=number),
            "receivedAt": received,
            "anonymousId": f"a-{number % 300}",
            **fields,
        }
        for number, value in enumerate(values)
    ]
    await Analytics.raw().insert_many(rows)


async def top(
    cast: Cast, start: datetime | None = None, **params: Any
) -> list[tuple[str, int, int]]:
    span = {
        "from": rfc3339(start or today() - 2 * DAY),
        "to": rfc3339(today()),
        "property": "path",
        **params,
    }
    asked = {
        name: value
        for name, value in {"limit": 200, "appId": "notes", **span}.items()
        if value is not None
    }
    rows = (await cast.admin.get("/v1/analytics/top", params=asked)).json()
    return [(row["value"], row["count"], row["error"]) for row in rows]


@pytest.fixture
async def cast(cast: Cast) -> Cast:
    for app in ("notes", "boats"):
        await App(id=app, analytics_properties=["path"]).add()
    return cast


SCANNER = [f"/wp-{number}.php" for number in range(700)]


async def test_the_frequent_values_are_at_the_top_whatever_came_before_them(cast: Cast) -> None:
    await come(SCANNER)
    await roll_up()
    await come(["/pricing"] * 1500 + ["/home"] * 500)
    before = await top(cast)
    await roll_up()
    assert before[:2] == [("/pricing", 1500, 0), ("/home", 500, 0)]
    assert await top(cast) == before
    assert (await recount_lately())["mended"] == {}
    assert await top(cast, limit=2) == before[:2]


@pytest.mark.usefixtures("few")
async def test_a_value_that_becomes_frequent_late_is_listed_with_all_that_came_of_it(
    cast: Cast,
) -> None:
    await come([*"aaabbbcccddd", "late"])
    await roll_up()
    assert await top(cast) == [
        ("a", 3, 0),
        ("b", 3, 0),
        ("c", 3, 0),
    ]  # of equally frequent ones the first by text
    await come(["late"] * 4)
    assert await top(cast) == [("late", 5, 0), ("a", 3, 0), ("b", 3, 0)]
    await roll_up()
    assert await top(cast) == [("late", 5, 0), ("a", 3, 0), ("b", 3, 0)]
    kept = {row["value"]: row["total"] for row in await PropertyValue.raw().find({}).to_list()}
    assert kept == {"c": 3, "d": 3}


@pytest.mark.usefixtures("few")
async def test_the_error_of_several_days_and_apps_stands_beside_the_count(cast: Cast) -> None:
    await come([*"aaaaabbbbccdd"])
    await come([*"aaeeff"], timestamp=today() - DAY + timedelta(hours=3))
    await come([*"aaaxxyyzz"], app="boats")
    await roll_up()
    assert await top(cast) == [("a", 7, 0), ("b", 4, 0), ("c", 2, 0), ("e", 2, 2), ("f", 2, 2)]
    everywhere = [
        ("a", 10, 0),
        ("b", 4, 2),
        ("c", 2, 2),
        ("e", 2, 4),
        ("f", 2, 4),
        ("x", 2, 2),
        ("y", 2, 2),
    ]
    assert await top(cast, appId=None) == everywhere


@pytest.mark.usefixtures("few")
async def test_who_is_erased_leaves_the_counts_and_others_move_up(cast: Cast) -> None:
    await come([*"aaaabbbbbb"], userId=ObjectId(cast.owner.id))
    await come([*"aaccccdddeeff"])
    await roll_up()
    assert await top(cast) == [("a", 6, 0), ("b", 6, 0), ("c", 4, 0)]
    await cast.owner.delete("/v1/users/me")
    assert await top(cast) == [("c", 4, 0), ("d", 3, 0), ("a", 2, 0)]
    assert (await recount_lately())["mended"] == {}
    kept = {row["value"]: row["total"] for row in await PropertyValue.raw().find({}).to_list()}
    assert kept == {"e": 2, "f": 2}


@pytest.mark.usefixtures("few")
async def test_a_day_that_nothing_is_left_of_goes_whole(cast: Cast) -> None:
    await come([*"abcdefgh"], userId=ObjectId(cast.owner.id))
    await roll_up()
    assert await PropertyValue.raw().count_documents({}) == 5
    await cast.owner.delete("/v1/users/me")
    assert [await each.raw().count_documents({}) for each in (PropertyDay, PropertyValue)] == [0, 0]


@pytest.mark.usefixtures("few")
async def test_the_recount_mends_lists_and_what_is_kept_beside_them(cast: Cast) -> None:
    await come([*"aaabbbcccddeef"])
    await roll_up()
    right = await top(cast)
    await PropertyValue.raw().update_one({"value": "d"}, {"$set": {"total": 9}})
    await PropertyValue.raw().delete_one({"value": "e"})
    await PropertyDay.raw().update_one({}, {"$set": {"values": ["a", "b", "x"]}})
    assert (await recount_lately())["mended"] == {"propertydays": 1, "propertyvalues": 2}
    assert await top(cast) == right
    assert (await recount_lately())["mended"] == {}


async def test_very_many_values_cost_a_pass_their_own_documents_and_no_more(cast: Cast) -> None:
    await come([f"/{number:05}" for number in range(6000)] + ["/home"] * 40)
    await roll_up()
    head = await PropertyDay.raw().find_one({})
    assert head is not None
    assert (len(head["values"]), head["values"][0], head["outside"], head["bound"]) == (
        500,
        "/home",
        5501,
        1,
    )
    before = {row["_id"]: row["version"] async for row in PropertyValue.raw().find({})}
    await come(["/05999", "/05998", "/new"])
    await roll_up()
    stored = {row["_id"]: row["version"] async for row in PropertyValue.raw().find({})}
    changed = {
        name for name in before.keys() | stored.keys() if before.get(name) != stored.get(name)
    }
    assert len(changed) == 2 + 2 + 1  # two move up, two make room for them, one is new
    assert (await top(cast, limit=3)) == [("/home", 40, 0), ("/05998", 2, 0), ("/05999", 2, 0)]


@pytest.mark.usefixtures("few")
async def test_one_users_values_are_counted_whole(cast: Cast) -> None:
    await come([*"aabbccdde"], userId=ObjectId(cast.owner.id))
    await roll_up()
    assert await top(cast, userId=cast.owner.id) == [(each, 2, 0) for each in "abcd"] + [
        ("e", 1, 0)
    ]


@pytest.mark.usefixtures("few")
async def test_an_archived_day_keeps_what_is_listed_and_says_what_may_be_missing(
    cast: Cast,
) -> None:
    await come([*"aaaabbbccdde"])
    await roll_up()
    day = (today() - 2 * DAY - EPOCH).days
    for _ in range(2):
        await cap_days("notes", day)
        head = await PropertyDay.raw().find_one({})
        assert head is not None
        assert (head["values"], head["capped"], head["outside"], head["bound"]) == (
            ["a", "b", "c"],
            True,
            0,
            2,
        )
    assert await PropertyValue.raw().count_documents({}) == 0
    assert await top(cast) == [("a", 4, 0), ("b", 3, 0), ("c", 2, 0)]
    await come([*"aazz"])  # late ones, if a day took any: a list that is capped takes no new values
    await roll_up()
    head = await PropertyDay.raw().find_one({})
    assert head is not None
    assert (head["values"], head["bound"], sum(memoryview(head["counts"]).cast("I"))) == (
        ["a", "b", "c"],
        4,
        16,
    )


@pytest.mark.usefixtures("few")
async def test_the_archive_caps_the_days_that_it_takes(make_api: MakeApi, place: Place) -> None:
    api, _ = await opened(make_api, place)
    await App(id="notes", analytics_properties=["path"]).add()
    await come([*"aaabbccde"], timestamp=today() - timedelta(days=40))
    await roll_up()
    assert await PropertyValue.raw().count_documents({}) == 2
    await seal_and_archive(api.settings)
    assert [row["capped"] for row in await PropertyDay.raw().find({}).to_list()] == [True]
    assert await PropertyValue.raw().count_documents({}) == 0


async def test_random_days_answer_what_all_their_events_say(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frequencies fall as they do in life (Zipf), in random order and windows; every count is
    within its error."""
    chance = random.Random(7)
    monkeypatch.setattr(property_values, "MOST_LISTED", 20)
    values = [f"/{int(chance.paretovariate(0.7))}" for _ in range(3000)]
    for start in range(0, 3000, 500):
        await come(
            values[start : start + 500],
            timestamp=today() - (1 + start % 3) * DAY + timedelta(hours=3),
        )
        if chance.random() < 0.7:
            await roll_up()
    start, end = today() - 4 * DAY, today()
    rows = await Analytics.raw().find({}).to_list()
    found = await top(cast, start=start)
    assert found == top_of(rows, "notes", "path", start, end, 20)[:200]
    await roll_up()
    assert await top(cast, start=start) == found
    truth = Counter(values)
    assert all(count <= truth[value] <= count + error for value, count, error in found)
    worst = sum(row["bound"] for row in await PropertyDay.raw().find({}).to_list())
    assert {value for value, count in truth.items() if count > worst} <= {
        value for value, *_ in found
    }
    assert worst <= 3000 / 20


async def test_property_days_of_the_former_form_are_converted_and_counted_anew(
    cast: Cast, database: AsyncDatabase[Raw]
) -> None:
    await come(["/a"] * 3 + ["/b"] * 2 + ["/c"] * 5)
    await roll_up()
    right = await PropertyDay.raw().find_one({})
    assert right is not None
    slots = {"/a": 3, "/b": 2, "__other__": 5}
    old = {
        name: value
        for name, value in right.items()
        if name in ("_id", "appId", "day", "eventName", "property")
    }
    old |= {
        "eventCategory": "engagement",
        "createdAt": now(),
        "updatedAt": now(),
        "version": 4,
        "full": True,
    }
    packed = [
        {"v": value, "counts": count.to_bytes(4, "little") + bytes(380)}
        for value, count in slots.items()
    ]
    await PropertyDay.raw().replace_one({"_id": right["_id"]}, {**old, "values": packed})
    await ensure_periodic("migrate", "migrate", every_seconds=0)
    held = await claim(["migrate"])
    assert held is not None
    assert [
        await step.count(database),
        await step.apply(database, held),
        await step.apply(database, held),
    ] == [1, 1, 0]
    assert await top(cast) == [("/a", 3, 0), ("/b", 2, 0)]
    converted = await PropertyDay.raw().find_one({})
    assert converted is not None
    assert (converted["capped"], converted["bound"], "full" in converted) == (True, 5, False)
    assert (await recount_lately())["mended"] == {"propertydays": 1}
    healed = await PropertyDay.raw().find_one({})
    assert healed is not None
    for name in ("createdAt", "updatedAt", "version"):
        del healed[name], right[name]
    assert healed == right
