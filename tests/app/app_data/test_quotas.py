"""Quotas: what makes an app keep more of a person than it may is refused, and nothing else is."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from bson import ObjectId

from app.app_data import quotas
from models.app_data import AppData
from models.app_data_usage import usage_pipeline
from tests.cast import Cast
from tests.harness import Api, Caller

DATA = "/v1/users/me/apps/notes/data"


async def allow(cast: Cast, **quota: int) -> None:
    assert (await cast.admin.put("/v1/apps/notes", json={"quota": quota, "history": 3})).is_success


async def put(caller: Caller, key: str, size: int, **options: Any) -> Any:
    """Put a value with so many bytes of JSON."""
    return await caller.put(f"{DATA}/{key}", json="x" * (size - 2), **options)


def refused(answer: Any, used: dict[str, int], allowed: dict[str, int]) -> bool:
    assert (answer.status_code, answer.json()["code"]) == (507, "quota_exceeded"), answer.text
    assert (answer.json()["used"], answer.json()["allowed"]) == (used, allowed)
    return True


async def test_what_would_be_too_much_is_507_and_says_how_much_there_is(cast: Cast) -> None:
    await allow(cast, bytes=100)
    first = await put(cast.owner, "a", 60)
    assert (first.status_code, first.headers["satchel-quota"]) == (
        201,
        "keys=1, bytes=60;allowed=100",
    )
    over = await put(cast.owner, "b", 41)
    assert refused(over, {"keys": 1, "bytes": 60}, {"bytes": 100})
    assert over.headers["satchel-quota"] == "keys=1, bytes=60;allowed=100"
    assert (await put(cast.owner, "b", 40)).status_code == 201
    assert (await put(cast.owner, "c", 2)).status_code == 507
    assert await AppData.raw().count_documents({}) == 2
    found = (await cast.owner.get("/v1/users/me/apps")).json()["items"]
    assert [(each["appId"], each["keys"], each["bytes"]) for each in found] == [("notes", 2, 100)]


async def test_keys_are_counted_and_what_is_there_may_grow(cast: Cast) -> None:
    await allow(cast, keys=2)
    await put(cast.owner, "a", 5)
    await put(cast.owner, "b", 5)
    assert refused(await put(cast.owner, "c", 5), {"keys": 2, "bytes": 10}, {"keys": 2})
    assert (await put(cast.owner, "b", 500)).status_code == 200
    assert (await cast.owner.delete(f"{DATA}/a")).status_code == 204
    again = await put(cast.owner, "c", 5)
    assert (again.status_code, again.headers["satchel-quota"]) == (
        201,
        "keys=2;allowed=2, bytes=505",
    )
    assert (await put(cast.owner, "a", 5)).status_code == 507  # a tombstone is no key


async def test_what_deletes_or_shrinks_passes_though_too_much_is_there(cast: Cast) -> None:
    await put(cast.owner, "a", 90)
    await put(cast.owner, "b", 90)
    await allow(cast, bytes=50, keys=1)
    assert (await put(cast.owner, "c", 2)).status_code == 507
    assert (await put(cast.owner, "a", 91)).status_code == 507
    assert (await cast.owner.merge(f"{DATA}/a", {"longer": "x" * 100})).status_code == 507
    assert (await put(cast.owner, "a", 90)).status_code == 200
    assert (await put(cast.owner, "a", 80)).headers[
        "satchel-quota"
    ] == "keys=2;allowed=1, bytes=170;allowed=50"
    assert (await cast.owner.merge(f"{DATA}/a", {"n": 1})).status_code == 200
    gone = await cast.owner.delete(f"{DATA}/b")
    assert (gone.status_code, gone.headers["satchel-quota"]) == (
        204,
        "keys=1;allowed=1, bytes=7;allowed=50",
    )
    assert (await put(cast.owner, "a", 50)).status_code == 200
    assert (await cast.owner.delete(DATA, params={"prefix": "a"})).status_code == 200
    assert (await put(cast.owner, "new", 50)).status_code == 201


async def test_a_restore_needs_room_as_any_write(cast: Cast) -> None:
    await allow(cast, bytes=100)
    await put(cast.owner, "a", 60)
    await put(cast.owner, "a", 10)
    await put(cast.owner, "b", 60)
    restore = f"{DATA}/a/restore"
    assert (await cast.owner.post(restore, json={"version": 1})).status_code == 507
    await cast.owner.delete(f"{DATA}/b")
    restored = await cast.owner.post(restore, json={"version": 1})
    assert (restored.status_code, restored.headers["satchel-quota"]) == (
        200,
        "keys=1, bytes=60;allowed=100",
    )


async def test_each_person_and_each_app_has_a_quota_of_its_own(cast: Cast) -> None:
    await allow(cast, keys=1)
    for caller in (cast.owner, cast.stranger):
        assert (await put(caller, "a", 5)).status_code == 201
        assert (await put(caller, "b", 5)).status_code == 507
    free = await cast.owner.put("/v1/users/me/apps/boats/data/b", json=1)
    assert (free.status_code, "satchel-quota" in free.headers) == (201, False)


async def test_racing_writers_of_one_process_do_not_go_past_it(cast: Cast) -> None:
    await allow(cast, bytes=100, keys=8)
    answers = await asyncio.gather(*(put(cast.owner, f"k{number}", 10) for number in range(30)))
    assert Counter(answer.status_code for answer in answers) == {201: 8, 507: 22}
    await asyncio.gather(*(cast.owner.delete(f"{DATA}/k{number}") for number in range(30)))
    answers = await asyncio.gather(*(put(cast.owner, "same", 10 + number) for number in range(20)))
    assert {answer.status_code for answer in answers} <= {200, 201, 507}
    stored = await AppData.raw().find_one({"dataKey": "same"}) or {}
    usage = (await put(cast.owner, "same", stored["bytes"])).headers["satchel-quota"]
    assert usage == f"keys=1;allowed=8, bytes={stored['bytes']};allowed=100"


async def test_a_write_that_fails_takes_no_room(cast: Cast) -> None:
    await allow(cast, keys=1)
    for _ in range(3):
        assert (await put(cast.owner, "a", 5, headers={"If-Match": '"7"'})).status_code == 412
    assert (await put(cast.owner, "a", 5, params={"activity": "saved"})).status_code == 201
    assert (await put(cast.owner, "a", 5, headers={"If-None-Match": "*"})).status_code == 412
    assert (await put(cast.owner, "a", 9)).headers["satchel-quota"] == "keys=1;allowed=1, bytes=9"


async def test_what_others_write_is_known_when_it_is_asked_for_anew(cast: Cast, api: Api) -> None:
    await allow(cast, keys=2)
    await put(cast.owner, "a", 5)
    for key in ("b", "c"):  # another process
        await AppData.put(ObjectId(cast.owner.id), "notes", key, 1, size=1, by="x")
    api.app.state.rooms.forget(ObjectId(cast.owner.id), "notes")
    assert refused(await put(cast.owner, "d", 5), {"keys": 3, "bytes": 7}, {"keys": 2})


async def test_changes_tell_how_much_is_used(cast: Cast) -> None:
    await allow(cast, keys=2)
    assert (await put(cast.owner, "a", 9)).is_success
    changes = DATA.removesuffix("/data") + "/changes"
    first = await cast.owner.get(changes)
    assert first.headers["satchel-quota"] == "keys=1;allowed=2, bytes=9"
    since = {"since": first.json()["cursor"]}
    again = await cast.owner.get(changes, params=since)
    assert (again.json()["changes"], again.headers["satchel-quota"]) == (
        [],
        "keys=1;allowed=2, bytes=9",
    )


async def test_an_app_without_a_quota_pays_nothing(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("usage was asked for")

    monkeypatch.setattr(quotas, "usage_of", never)
    monkeypatch.setattr(quotas, "find_size", never)
    answers = [await put(cast.owner, "a", 5), await cast.owner.delete(f"{DATA}/a")]
    assert [(answer.status_code, "satchel-quota" in answer.headers) for answer in answers] == [
        (201, False),
        (204, False),
    ]


async def test_usage_is_read_from_an_index_alone(cast: Cast) -> None:
    for number in range(20):
        await put(cast.owner, f"k{number}", 5)
    await cast.owner.delete(f"{DATA}/k0")
    for app_id in ("notes", None):
        command = {
            "aggregate": "appdata",
            "pipeline": usage_pipeline(ObjectId(cast.owner.id), app_id),
            "cursor": {},
        }
        told = await AppData.raw().database.command("explain", command, verbosity="executionStats")
        stats = (told["stages"][0]["$cursor"] if "stages" in told else told)["executionStats"]
        assert (stats["totalKeysExamined"], stats["totalDocsExamined"]) == (20, 0)


@pytest.mark.parametrize(
    ("quota", "pointer"),
    [
        ({"bytes": -1}, "/quota/bytes"),
        ({"keys": "5"}, "/quota/keys"),
        ({"keys": True}, "/quota/keys"),
        ({"x": 1}, "/quota/x"),
        (5, "/quota"),
        ({"bytes": 2**60}, "/quota/bytes"),
    ],
    ids=repr,
)
async def test_what_is_no_quota_is_refused(cast: Cast, quota: Any, pointer: str) -> None:
    answer = await cast.admin.put("/v1/apps/notes", json={"quota": quota})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_quota_comes_back_as_it_was_sent_and_goes(cast: Cast) -> None:
    await allow(cast, keys=0)
    assert (await cast.admin.get("/v1/apps/notes")).json()["quota"] == {"bytes": None, "keys": 0}
    assert (await put(cast.owner, "a", 5)).status_code == 507
    assert (await cast.admin.put("/v1/apps/notes", json={})).json()["quota"] is None
    assert (await put(cast.owner, "a", 5)).status_code == 201


async def test_nobody_is_told_what_is_used_who_may_not_write(cast: Cast, api: Api) -> None:
    await allow(cast, keys=0)
    path = f"/v1/users/{cast.owner.id}/apps/notes/data/a"
    for caller, status in ((cast.stranger, 404), (cast.reader, 403), (cast.nobody, 401)):
        answer = await caller.put(path, json=1)
        assert (answer.status_code, "satchel-quota" in answer.headers) == (status, False)
