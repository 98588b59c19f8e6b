"""App data as a document: every precondition in every state, tombstones, expiry, transactions."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from bson import ObjectId
from bson import Timestamp as ClusterTime

from app.database import transaction
from models.activity import Activity, ActivityContent
from models.app_data import AppData
from models.app_data_expiry import expire_due, version_stats
from models.app_data_updates import Expiry
from models.app_data_written import StaleVersion
from models.base import now
from models.precondition import Expected
from models.user import User

pytestmark = pytest.mark.usefixtures("database")

USER, APP, KEY = ObjectId(), "notes", "k"


async def put(value: Any = "v", **options: Any) -> Any:
    return await AppData.put(USER, APP, KEY, value, **{"size": 3, "by": "user:x", **options})


async def delete(**options: Any) -> int:
    return await AppData.delete(USER, APP, KEY, **{"by": "user:x", **options})


async def row() -> dict[str, Any]:
    found = await AppData.raw().find_one({"dataKey": KEY})
    assert found is not None
    return found


async def reach(state: str) -> None:
    """Bring the key into a state; the version is 2 in each but `absent`."""
    if state == "absent":
        return
    await put("first")
    if state == "live":
        await put("second")
    elif state == "deleted":
        await delete()
    else:
        await put("second", expires_at=now() - timedelta(seconds=1))


ANY, ABSENT = Expected(), Expected(absent=True)
TWO, ONE, LIST, NONE = Expected((2,)), Expected((1,)), Expected((1, 2, 9)), Expected(())
PUTS = {  # precondition -> states in which a put is done
    "none": (None, {"absent", "live", "deleted", "expired"}),
    "absent": (ABSENT, {"absent", "deleted", "expired"}),
    "any": (ANY, {"live"}),
    "the version": (TWO, {"live"}),
    "one of some": (LIST, {"live"}),
    "an older": (ONE, set()),
    "none of ours": (NONE, set()),
}


@pytest.mark.parametrize("state", ["absent", "live", "deleted", "expired"])
@pytest.mark.parametrize("name", PUTS)
async def test_a_put_is_done_exactly_where_its_precondition_holds(name: str, state: str) -> None:
    expected, states = PUTS[name]
    await reach(state)
    before = await AppData.raw().find({}).to_list()
    if state in states:
        written = await put("new", expected=expected)
        assert (written.created, written.version) == (
            state != "live",
            1 if state == "absent" else 3,
        )
        assert (await row())["value"] == "new"
        assert (await row())["version"] == written.version
        assert ((await row())["createdAt"] == written.updated_at) is (state != "live")
    else:
        with pytest.raises(StaleVersion):
            await put("new", expected=expected)
        assert await AppData.raw().find({}).to_list() == before


@pytest.mark.parametrize("state", ["absent", "live", "deleted", "expired"])
@pytest.mark.parametrize("name", PUTS)
async def test_a_delete_is_done_where_there_is_a_value_and_its_precondition_holds(
    name: str, state: str
) -> None:
    expected, states = PUTS[name]
    await reach(state)
    before = await AppData.raw().find({}).to_list()
    if state == "live" and state in states:
        assert await delete(expected=expected) == 3
        assert (await row())["deleted"] is True
    else:
        with pytest.raises(StaleVersion):
            await delete(expected=expected)
        assert await AppData.raw().find({}).to_list() == before


@pytest.mark.parametrize(
    "told", [None, Expiry.KEEP, now() + timedelta(hours=1)], ids=["none", "kept", "new"]
)
@pytest.mark.parametrize("state", ["absent", "live", "deleted", "expired"])
async def test_a_put_alone_leaves_the_row_that_one_in_a_transaction_does(
    state: str, told: Any
) -> None:
    await reach(state)
    before = await AppData.raw().find({}).to_list()
    alone, first = await put("new", expires_at=told), await row()
    await AppData.raw().delete_many({})
    if before:
        await AppData.raw().insert_many(before)
    within = await transaction(lambda session: put("new", expires_at=told, session=session))
    second = await row()
    assert (alone.created, alone.version, alone.expires_at) == (
        within.created,
        within.version,
        within.expires_at,
    )
    assert (alone.id, within.id) == (first["_id"], second["_id"])
    own = {"updatedAt", "changedAt"} if state == "live" else {"createdAt", "updatedAt", "changedAt"}
    own |= set() if before else {"_id"}
    assert first.keys() == second.keys()
    assert {name for name in first if first[name] != second[name]} <= own
    assert (alone.created_at == alone.updated_at == first["createdAt"]) is (state != "live")


@pytest.mark.parametrize("version", [1, 2])
async def test_a_row_holds_what_the_design_says(version: int) -> None:
    if version == 2:
        first = await put("first", size=7)
    expected = Expected((1,)) if version == 2 else None
    written = await put(
        {"$ref": 1}, size=10, by="key:7", expires_at=now() + timedelta(hours=1), expected=expected
    )
    assert written.created is (version == 1)
    assert version == 1 or written.created_at == first.created_at
    stored = await row()
    assert (stored["userId"], stored["appId"], stored["dataKey"]) == (USER, APP, KEY)
    assert (stored["value"], stored["escaped"], stored["deleted"]) == ({"\x1b$ref": 1}, True, False)
    assert (stored["version"], stored["bytes"], stored["changedBy"]) == (version, 10, "key:7")
    assert isinstance(stored["changedAt"], ClusterTime)
    assert (stored["createdAt"], stored["expiresAt"]) == (written.created_at, written.expires_at)
    assert AppData.from_stored(stored).value == {"$ref": 1}


async def test_the_servers_stamp_grows_with_each_change() -> None:
    stamps = []
    for change in (
        put,
        put,
        partial(put, expected=Expected()),
        partial(put, expected=Expected((3,))),
        delete,
        put,
    ):
        await change()
        stamps.append((await row())["changedAt"])
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(
    "value", ["$version", "$$NOW", {"$add": [1, 2]}, {"$literal": 1}, [{"$ref": "$$ROOT"}]]
)
@pytest.mark.parametrize("expected", [None, Expected()], ids=["put", "replace"])
async def test_a_value_is_never_evaluated(value: Any, expected: Expected | None) -> None:
    await put("first")
    await put(value, by="$version", expected=expected)
    found = await AppData.find_by_user_app_and_key(USER, APP, KEY)
    assert found is not None
    assert (found["value"], (await row())["changedBy"]) == (value, "$version")


async def test_a_tombstone_keeps_the_count_and_nothing_else() -> None:
    await put("secret", expires_at=now() + timedelta(hours=1))
    assert await delete(by="key:7") == 2
    stored = await row()
    assert {"value", "expiresAt"}.isdisjoint(stored)
    assert (stored["deleted"], stored["version"], stored["bytes"], stored["changedBy"]) == (
        True,
        2,
        0,
        "key:7",
    )
    assert await AppData.find_by_user_app_and_key(USER, APP, KEY) is None
    assert await AppData.find_envelope(USER, APP, KEY) is None
    assert await AppData.find_by_user_and_app(USER, APP) == []


@pytest.mark.parametrize("expected", [None, Expected()], ids=["put", "replace"])
@pytest.mark.parametrize(("told", "kept"), [(None, False), (Expiry.KEEP, True)])
async def test_an_expiry_is_cleared_or_kept(
    told: Any, kept: bool, expected: Expected | None
) -> None:
    until = now() + timedelta(hours=1)
    await put(expires_at=until)
    written = await put(expires_at=told, expected=expected)
    assert (written.expires_at, (await row()).get("expiresAt")) == (
        (until, until) if kept else (None, None)
    )


async def test_expiry_takes_the_longest_due_first_and_only_what_is_due() -> None:
    moment = now()
    for key, seconds in (("a", -3), ("b", -2), ("c", -1), ("d", 60)):
        expires = moment + timedelta(seconds=seconds)
        await AppData.put(USER, APP, key, key, size=3, by="x", expires_at=expires)
    await AppData.put(USER, APP, "e", "e", size=3, by="x")
    assert await expire_due(2) == 2
    assert await deleted() == ["a", "b"]
    assert await expire_due(9) == 1
    assert await expire_due(9) == 0
    assert await deleted() == ["a", "b", "c"]


async def deleted() -> list[str]:
    return [
        row["dataKey"] async for row in AppData.raw().find({"deleted": True}).sort("dataKey", 1)
    ]


async def test_a_value_and_its_activity_are_written_together_or_not() -> None:
    content = ActivityContent(app_id=APP, event_type="settings_updated")

    async def work(session: Any, *, fail: bool) -> None:
        await put("v", session=session)
        await Activity.create_activity(USER, content, session=session)
        if fail:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await transaction(lambda session: work(session, fail=True))
    assert [await document.raw().count_documents({}) for document in (AppData, Activity)] == [0, 0]
    await transaction(lambda session: work(session, fail=False))
    assert [await document.raw().count_documents({}) for document in (AppData, Activity)] == [1, 1]


async def test_a_transaction_within_a_transaction_joins_it() -> None:
    async def outer(_: Any) -> None:
        await transaction(lambda session: put("v", session=session))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await transaction(outer)
    assert await AppData.raw().count_documents({}) == 0


async def test_versions_are_counted_per_app() -> None:
    await put("v", size=100)
    await put("v", size=100)
    await AppData.put(USER, APP, "gone", 1, size=7, by="x")
    await AppData.delete(USER, APP, "gone", by="x")
    await AppData.put(USER, "boats", "b", 1, size=5, by="x")
    assert await version_stats() == [
        {
            "appId": APP,
            "keys": 1,
            "tombstones": 1,
            "bytes": 100,
            "meanVersion": 2.0,
            "maxVersion": 2,
        },
        {
            "appId": "boats",
            "keys": 1,
            "tombstones": 0,
            "bytes": 5,
            "meanVersion": 1.0,
            "maxVersion": 1,
        },
    ]


async def test_a_value_of_another_user_app_or_key_is_not_found() -> None:
    await put()
    for place in ((ObjectId(), APP, KEY), (USER, "boats", KEY), (USER, APP, "K")):
        assert await AppData.find_by_user_app_and_key(*place) is None
        with pytest.raises(StaleVersion):
            await AppData.delete(*place, by="x")
    found = await AppData.find_envelope(USER, APP, KEY)
    assert found is not None
    assert set(found) == {"dataKey", "value", "version", "createdAt", "updatedAt"}
    assert isinstance(found["createdAt"], datetime)


async def test_a_put_that_names_no_lease_begins_after_the_floor_all_the_same() -> None:
    """Nobody can forget the floor of versions: a purged key would have a version twice."""
    await User.raw().insert_one({"_id": USER, "versionFloor": 7})
    assert ((await put()).version, (await put("again")).version) == (8, 9)
