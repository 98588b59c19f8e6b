"""App data that comes in with people: seen as what clients write is, and held against the app's
schemas and quotas."""

from bson import ObjectId

from models import (
    AppData,
    User,
)
from tests.app.measured import counted
from tests.app.people.conftest import Send
from tests.cast import Cast
from tests.factories.people import ANN, person


async def test_imported_values_are_seen_by_changes_and_by_queries(send: Send, cast: Cast) -> None:
    settings = {"queries": {"byDue": {"prefix": "task:", "by": [{"pointer": "/due"}]}}}
    await cast.admin.put("/v1/apps/notes", json=settings)
    (first,) = await send(person(1))
    path = f"/v1/users/{first['id']}/apps/notes"
    cursor = (await cast.admin.get(f"{path}/changes")).json()["cursor"]
    tasks = [
        {"appId": "notes", "dataKey": f"task:{each}", "value": {"due": 9 - each}}
        for each in range(3)
    ]
    assert (await send(person(1, appData=tasks)))[0]["status"] == "updated"
    (second,) = await send(person(2, appData=tasks))
    changes = (await cast.admin.get(f"{path}/changes", params={"since": cursor})).json()["changes"]
    assert [each["dataKey"] for each in changes] == ["task:0", "task:1", "task:2"]
    for user_id in (first["id"], second["id"]):
        keys = [
            row["queryKeys"]
            async for row in AppData.raw().find({"userId": ObjectId(user_id)}).sort("dataKey", -1)
        ]
        texts = [next(iter(each.values())) for each in keys]
        assert texts == sorted(texts)
        assert all(text.startswith(user_id) for text in texts)


async def test_a_new_key_begins_after_the_floor(send: Send, cast: Cast) -> None:
    """No version is used twice, whatever was purged."""
    (first,) = await send(person(1))
    await User.raw().update_one({"_id": ObjectId(first["id"])}, {"$set": {"versionFloor": 41}})
    (result,) = await send(person(1, appData=[ANN["appData"][0]]))
    assert result["status"] == "updated"
    row = await AppData.raw().find_one({})
    assert row is not None and row["version"] == 42


async def test_a_deleted_value_comes_back_above_its_tombstone(send: Send, cast: Cast) -> None:
    (first,) = await send(person(1, appData=[ANN["appData"][0]]))
    path = f"/v1/users/{first['id']}/apps/notes/data/settings"
    assert (await cast.admin.delete(path)).status_code == 204
    line = person(1, appData=[ANN["appData"][0]], preferences={"theme": "light"})
    assert (await send(line))[0]["status"] == "updated"
    assert (await cast.admin.get(path)).headers["etag"].startswith('"3.')


async def test_former_versions_are_kept_where_the_app_keeps_them(send: Send, cast: Cast) -> None:
    await cast.admin.put("/v1/apps/notes", json={"history": 5})
    (first,) = await send(person(1, appData=[ANN["appData"][0]]))
    await send(person(1, appData=[ANN["appData"][0] | {"value": "new"}]))
    path = f"/v1/users/{first['id']}/apps/notes/data/settings/history"
    versions = (await cast.admin.get(path)).json()
    assert [each["version"] for each in versions["items"]] == [2, 1]


async def test_values_are_held_against_schemas_and_quotas(send: Send, cast: Cast) -> None:
    settings = {"schemas": {"list": {"type": "array"}}, "quota": {"keys": 2}}
    await cast.admin.put("/v1/apps/notes", json=settings)
    value = {"appId": "notes", "dataKey": "list", "value": {}}
    (wrong,) = await send(person(1, appData=[value]))
    assert (wrong["status"], wrong["errors"][0]["pointer"]) == ("invalid", "/appData/0/value")
    before = counted("satchel_quota_refusals_total")
    many = [{"appId": "notes", "dataKey": f"k{each}", "value": 1} for each in range(3)]
    (wrong,) = await send(person(1, appData=many))
    assert wrong["errors"][0]["code"] == "quota_exceeded"
    (right,) = await send(person(1, appData=many[:2]))
    assert right["status"] == "created"
    (full,) = await send(person(1, appData=many[2:]))
    assert (full["status"], full["errors"][0]["code"]) == ("invalid", "quota_exceeded")
    assert counted("satchel_quota_refusals_total") - before == 2
    (same,) = await send(person(1, appData=[many[0] | {"value": 2}]))
    assert same["status"] == "updated"
