"""Former versions of a value, kept in its row by the same operation that replaces it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from models.app import App
from models.app_data import AppData
from models.app_data_expiry import expire_due
from models.app_data_written import StaleVersion
from models.base import Raw, now
from models.precondition import Expected

pytestmark = pytest.mark.usefixtures("database")

USER, APP = ObjectId(), "notes"
KIB = 1024


async def put(value: Any, key: str = "k", **options: Any) -> Any:
    return await AppData.put(
        USER, APP, key, value, **{"size": 3, "by": "user:x", "history": 3, **options}
    )


async def delete(**options: Any) -> int:
    return await AppData.delete(USER, APP, "k", **{"by": "user:y", "history": 3, **options})


async def row(key: str = "k") -> Raw:
    found = await AppData.raw().find_one({"dataKey": key})
    assert found is not None
    return found


async def kept() -> list[tuple[int, Any]]:
    return [(each["version"], each.get("value")) for each in (await row()).get("history", [])]


async def test_every_way_of_writing_keeps_what_was_there() -> None:
    await put("first")
    assert await kept() == []
    before = await row()
    await put("second", expected=Expected((1,)), size=8, by="key:a")
    assert await kept() == [(1, "first")]
    await delete()
    await put("third")
    found = await row()
    assert [
        (each["version"], each["by"], each["bytes"], each["deleted"]) for each in found["history"]
    ] == [
        (1, "user:x", 3, False),
        (2, "key:a", 8, False),
        (3, "user:y", 0, True),
    ]
    assert found["history"][0]["at"] == before["updatedAt"]
    assert "value" not in found["history"][2]
    assert (found["value"], found["version"]) == ("third", 4)


async def test_the_oldest_go_where_there_are_too_many_and_where_the_app_keeps_fewer() -> None:
    for number in range(6):
        await put(number)
    assert await kept() == [(3, 2), (4, 3), (5, 4)]
    await put("x", history=1)
    assert await kept() == [(6, 5)]
    await put("y", history=0)
    assert "history" not in await row()


@pytest.mark.parametrize("expected", [None, Expected((4,))], ids=["put", "replace"])
async def test_an_app_that_keeps_none_any_more_has_none_left(expected: Expected | None) -> None:
    for number in range(4):
        await put(number)
    await put("x", history=0, expected=expected)
    assert "history" not in await row()


async def test_a_mebibyte_is_kept_at_most() -> None:
    for number in range(5):
        await put(str(number), size=(400 - number) * KIB, history=50)
    assert await kept() == [(3, "2"), (4, "3")]
    await put("small", size=1, history=50)
    assert await kept() == [(4, "3"), (5, "4")]
    for number in range(4):
        await put(str(number), size=100 * KIB, history=50)
    assert await kept() == [(5, "4"), (6, "small"), (7, "0"), (8, "1"), (9, "2")]


async def test_values_that_are_largest_as_bson_never_fill_a_document() -> None:
    value = [0] * (256 * KIB - 1)  # two bytes of JSON each, twelve of BSON
    for _ in range(5):
        await put(value, size=512 * KIB, history=50)
    raw = AppData.raw().with_options(
        AppData.raw().codec_options.with_options(document_class=RawBSONDocument)
    )
    found = await raw.find_one({"dataKey": "k"})
    assert found is not None
    assert 9e6 < len(found.raw) < 11e6
    assert [each["version"] for each in found["history"]] == [3, 4]


async def test_a_stale_write_keeps_nothing() -> None:
    await put("first")
    for write in (
        put("x", expected=Expected((7,))),
        put("x", expected=Expected(absent=True)),
        delete(expected=Expected((7,))),
    ):
        with pytest.raises(StaleVersion):
            await write
    assert await kept() == []


async def test_racing_writers_lose_no_version() -> None:
    await asyncio.gather(*(put(number, history=50) for number in range(30)))
    found = await row()
    assert [each["version"] for each in found["history"]] == list(range(1, 30))
    assert sorted([*(each["value"] for each in found["history"]), found["value"]]) == list(
        range(30)
    )


async def test_expiry_keeps_it_where_the_app_does_and_nowhere_else() -> None:
    await App(id=APP, history=2).add()
    over = now() - timedelta(seconds=1)
    await put("ours", expires_at=over)
    await AppData.put(USER, "boats", "theirs", "b", size=3, by="x", expires_at=over)
    assert await expire_due(9) == 2
    found, other = await row(), await row("theirs")
    assert (found["deleted"], found["changedBy"], other["deleted"], "history" in other) == (
        True,
        "expiry",
        True,
        False,
    )
    assert await kept() == [(1, "ours")]


async def test_values_with_refs_and_dollars_are_kept_as_they_were() -> None:
    value = {"$ref": "a", "$id": {"$literal": "$version"}, "x": "$$NOW"}
    await put(value)
    await put("next")
    assert (await row())["history"][0] == {**(await row())["history"][0], "escaped": True}
    assert (await row())["history"][0]["value"] == {
        "\x1b$ref": "a",
        "$id": {"$literal": "$version"},
        "x": "$$NOW",
    }


async def test_no_read_of_a_value_carries_its_history() -> None:
    for number in range(3):
        await put(number)
    found = [
        await AppData.find_by_user_app_and_key(USER, APP, "k"),
        await AppData.find_envelope(USER, APP, "k"),
        *await AppData.find_by_user_and_app(USER, APP),
    ]
    assert [each is not None and "history" not in each for each in found] == [True] * 3
