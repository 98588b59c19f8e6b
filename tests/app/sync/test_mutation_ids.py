"""A write with a `mutationId` happens once, however often it is sent."""

from typing import Any

import pytest

from models.app_data import AppData
from models.app_data_expiry import expire_due
from tests.cast import Cast
from tests.factories.batches import APP, DATA, batch, delete, put, said, step

WRITES: list[dict[str, Any]] = [
    put("k", {"n": 5}, mutationId="m"),
    put("k", {"n": 5}, mutationId="m", ifVersion=1),
    step("k", mutationId="m"),
    {"dataKey": "k", "mergePatch": {"n": 0}, "mutationId": "m"},
    delete("k", mutationId="m"),
    delete("k", mutationId="m", ifVersion=1),
]


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("history", [0, 3])
@pytest.mark.parametrize("write", WRITES)
async def test_a_repeat_is_stored_with_the_same_version_whatever_came_between(
    cast: Cast, write: dict[str, Any], history: int, atomic: bool
) -> None:
    await cast.admin.put("/v1/apps/notes", json={"history": history})
    await cast.owner.put(f"{DATA}/k", json={"n": 0})
    [first] = await batch(cast.owner, write, atomic=atomic)
    assert said(first) == ("stored", 2)
    assert said((await batch(cast.owner, write, atomic=atomic))[0]) == ("stored", 2)
    between = [
        lambda: cast.owner.put(f"{DATA}/k", json={"n": 9}),
        lambda: cast.owner.delete(f"{DATA}/k"),
    ]
    for number, other in enumerate(between, 3):
        await other()
        [again] = await batch(cast.owner, write, atomic=atomic)
        assert said(again) == ("stored", 2)
        assert again.get("deleted") == first.get("deleted")
        row = await AppData.raw().find_one({"dataKey": "k"})
        assert row is not None
        assert (row["version"], row["mutations"]) == (number, [{"id": "m", "version": 2}])


async def test_a_creation_is_known_again_after_its_value_was_deleted(cast: Cast) -> None:
    create = put("k", 1, ifVersion=0, mutationId="m")
    assert said((await batch(cast.owner, create))[0]) == ("stored", 1)
    await cast.owner.delete(f"{DATA}/k")
    assert said((await batch(cast.owner, create))[0]) == ("stored", 1)
    assert (await cast.owner.get(f"{DATA}/k")).status_code == 404


async def test_a_deletion_of_nothing_is_known_again_after_somebody_stored_a_value(
    cast: Cast,
) -> None:
    [first] = await batch(cast.owner, delete("k", mutationId="m"))
    assert said(first) == ("stored", 1)
    assert (await cast.owner.put(f"{DATA}/k", json=1)).json()["version"] == 2
    assert said((await batch(cast.owner, delete("k", mutationId="m")))[0]) == ("stored", 1)
    assert (await cast.owner.get(f"{DATA}/k")).json() == 1


async def test_a_key_remembers_its_last_eight(cast: Cast) -> None:
    for number in range(9):
        await batch(cast.owner, put("k", number, mutationId=f"m{number}"))
    known = await batch(cast.owner, put("k", 1, mutationId="m1"))
    assert said(known[0]) == ("stored", 2)
    forgotten = await batch(cast.owner, put("k", 0, mutationId="m0"))
    assert said(forgotten[0]) == ("stored", 10)
    row = await AppData.raw().find_one({"dataKey": "k"})
    assert row is not None
    assert [each["id"] for each in row["mutations"]] == [
        *(f"m{number}" for number in range(2, 9)),
        "m0",
    ]


async def test_single_writes_and_expiry_leave_what_is_remembered(cast: Cast) -> None:
    await batch(cast.owner, put("k", {}, mutationId="m"))
    await cast.owner.merge(f"{DATA}/k", {"a": 1})
    await cast.owner.put(f"{DATA}/k?ttl=1", json={})
    await AppData.raw().update_one({"dataKey": "k"}, [{"$set": {"expiresAt": "$updatedAt"}}])
    await expire_due(10)
    assert said((await batch(cast.owner, put("k", {}, mutationId="m")))[0]) == ("stored", 1)


async def test_a_refused_write_is_not_remembered(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/k", json=1)
    late = put("k", 2, mutationId="m", ifVersion=7)
    assert said((await batch(cast.owner, late))[0]) == ("conflict", None)
    assert said((await batch(cast.owner, {**late, "ifVersion": 1}))[0]) == ("stored", 2)


async def test_nobody_is_shown_what_is_remembered(cast: Cast) -> None:
    await batch(cast.owner, put("k", 1, mutationId="hidden"))
    late = await cast.owner.post(f"{APP}/batch", json={"writes": [put("k", 2, ifVersion=9)]})
    for answer in (late, await cast.owner.get(DATA), await cast.owner.put(f"{DATA}/k", json=1)):
        assert "hidden" not in answer.text
