"""A row of app data that was damaged outside of Satchel: a client gets the changes before it and
behind it, is sent nothing false of it, and it is told."""

from typing import Any

import pytest
from bson import Binary, Decimal128, ObjectId, Regex
from bson import Timestamp as ClusterTime

from app.sync.changes import _position
from models.app_data import AppData
from models.base import Raw
from models.unreadable import Unreadable
from tests.cast import Cast
from tests.factories.app_data import DATA
from tests.factories.changes import ask, follow, put
from tests.factories.damage import DAMAGE, every_damage, set_aside
from tests.harness import Caller

NOT_OURS = ("userId", "appId")
"""Without them it is nobody's."""
VALUES: dict[str, Any] = {
    "decimal": Decimal128("1"),
    "expression": Regex("a"),
    "bytes": Binary(b"x", 4),
    "far": DAMAGE["far"],
}


def kept(row: Raw) -> list[tuple[Raw, str]]:
    """The row in every damage of its fields, and what was done to it."""
    bad = every_damage(row, but=NOT_OURS)
    values = [
        ({**row, "escaped": False, "value": [{"a": odd}]}, kind) for kind, odd in VALUES.items()
    ]
    return bad + (values if not row["deleted"] else [])


def is_true(change: Raw, row: Raw) -> bool:
    """Whether a change of the row says what is stored."""
    version = change["dataKey"] == row["dataKey"] and change["version"] == row["version"]
    return version and change.get("deleted", False) is row["deleted"]


def is_listed(bad: Raw, what: str) -> bool:
    """Whether a list of live values meets the row."""
    key, deleted = bad.get("dataKey"), bad.get("deleted")
    return key == "a" and deleted is False and what != "expiresAt long ago"


async def stand_in(row: Raw, bad: Raw) -> None:
    await AppData.raw().replace_one({"_id": row["_id"]}, bad)


async def rows_of(caller: Caller) -> tuple[Raw, Raw, str]:
    """A value with a row behind it, the same as a tombstone, and the cursor from before both."""
    await put(caller, "a", "b")
    _, cursor = await follow(caller)
    answer = await caller.put(f"{DATA}/a?ttl=9000", json={"n": [1], "$ref": 1})
    assert answer.status_code == 200
    value = await AppData.raw().find_one({"dataKey": "a"}) or {}
    await caller.delete(f"{DATA}/a")
    tombstone = await AppData.raw().find_one({"dataKey": "a"}) or {}
    await put(caller, "b", "c", value=2)
    return value, tombstone, cursor


@pytest.mark.parametrize("limit", [1, 200])
async def test_no_damage_keeps_a_client_from_what_comes_behind_it(cast: Cast, limit: int) -> None:
    value, tombstone, cursor = await rows_of(cast.owner)
    wrong = []
    for row in (value, tombstone):
        for bad, what in kept(row):
            await stand_in(row, bad)
            for since in (None, cursor):
                before = set_aside("appdata")
                found, _ = await follow(cast.owner, since, limit=limit)
                others = {each["dataKey"] for each in found if each["dataKey"] != "a"}
                own = [each for each in found if each["dataKey"] == "a"]
                false = [each for each in own if not is_true(each, bad)]
                is_found = since is not None or is_listed(bad, what)
                silent = is_found and not own and set_aside("appdata") == before
                if others != {"b", "c"} or false or (silent and not what.startswith("changedAt")):
                    wrong.append((what, since is None, others, own, silent))
    assert wrong == []


async def test_any_number_of_damaged_rows_in_a_row_is_passed(cast: Cast) -> None:
    _, cursor = await follow(cast.owner)
    keys = [f"k{number}" for number in range(9)]
    await put(cast.owner, *keys, "last")
    await AppData.raw().update_many({"dataKey": {"$in": keys[1:]}}, {"$set": {"version": "x"}})
    for since in (None, cursor):
        found, after = await follow(cast.owner, since, limit=1)
        assert [each["dataKey"] for each in found] == ["k0", "last"]
        assert (await ask(cast.owner, after))["changes"] == []


async def test_what_is_mended_under_a_new_stamp_is_sent(cast: Cast) -> None:
    await put(cast.owner, "a")
    _, cursor = await follow(cast.owner)
    await put(cast.owner, "a", value=2)
    await AppData.raw().update_one({"dataKey": "a"}, {"$set": {"version": "x"}})
    found, cursor = await follow(cast.owner, cursor)
    assert found == []
    mended: Raw = {"$set": {"version": 2}, "$currentDate": {"changedAt": {"$type": "timestamp"}}}
    await AppData.raw().update_one({"dataKey": "a"}, mended)
    found, _ = await follow(cast.owner, cursor)
    assert [(each["dataKey"], each["version"], each["value"]) for each in found] == [("a", 2, 2)]


@pytest.mark.parametrize("is_by_key", [True, False])
def test_a_page_ends_where_its_last_row_stands_that_can_say_so(is_by_key: bool) -> None:
    """Where none can, the same would come for ever: it is named."""
    good = {"_id": ObjectId(), "dataKey": "a", "changedAt": ClusterTime(9, 1)}
    odd = {**good, "dataKey": 7, "changedAt": "x"}
    expected = "a" if is_by_key else (good["changedAt"], good["_id"])
    assert _position([good, odd, odd], is_by_key=is_by_key) == expected
    with pytest.raises(Unreadable, match=f"appdata: {odd['_id']}"):
        _position([odd], is_by_key=is_by_key)
