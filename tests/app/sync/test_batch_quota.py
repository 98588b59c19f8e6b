"""Quotas in batches: what is too much says so for itself."""

from typing import Any

from models.app_data import AppData
from tests.cast import Cast
from tests.factories.batches import APP, DATA, batch, delete, put, step


async def allow(cast: Cast, **quota: int) -> None:
    assert (await cast.admin.put("/v1/apps/notes", json={"quota": quota})).is_success


def statuses(results: list[dict[str, Any]]) -> list[str]:
    return [result["status"] for result in results]


async def test_what_is_too_much_is_refused_and_the_others_are_stored(cast: Cast) -> None:
    await allow(cast, keys=2, bytes=30)
    results = await batch(
        cast.owner,
        put("a", "x" * 8),
        put("b", "x" * 20),
        put("c", 1),
        put("d", 2),
        put("a", 1) | {"dataKey": "e"},
    )
    assert statuses(results) == ["stored", "invalid", "stored", "invalid", "invalid"]
    assert [(error["pointer"], error["code"]) for error in results[1]["errors"]] == [
        ("/writes/1", "quota_exceeded")
    ]
    assert results[1]["current"] is None
    answer = await cast.owner.post(f"{APP}/batch", json={"writes": [put("c", 12)]})
    assert answer.headers["satchel-quota"] == "keys=2;allowed=2, bytes=12;allowed=30"
    assert (await cast.owner.put(f"{DATA}/f", json=1)).status_code == 507


async def test_what_a_batch_frees_it_may_use_and_shrinking_passes(cast: Cast) -> None:
    for key in ("a", "b", "c"):
        await cast.owner.put(f"{DATA}/{key}", json={"n": 1000})
    await allow(cast, keys=2)
    assert statuses(await batch(cast.owner, put("d"), put("a", 1), step("b"))) == [
        "invalid",
        "stored",
        "stored",
    ]
    assert statuses(await batch(cast.owner, delete("a"), delete("b"), put("d"), put("e"))) == [
        *["stored"] * 3,
        "invalid",
    ]
    assert (await cast.owner.put(f"{DATA}/e", json=1)).status_code == 507
    assert (await cast.owner.delete(f"{DATA}/d")).headers[
        "satchel-quota"
    ] == "keys=1;allowed=2, bytes=10"
    assert (await cast.owner.put(f"{DATA}/e", json=1)).status_code == 201


async def test_of_an_atomic_batch_that_is_too_much_nothing_is_stored(cast: Cast) -> None:
    await allow(cast, keys=1)
    writes = [put("a"), put("b")]
    answer = await cast.owner.post(f"{APP}/batch", json={"atomic": True, "writes": writes})
    assert (answer.status_code, statuses(answer.json()["results"])) == (
        422,
        ["notApplied", "invalid"],
    )
    assert await AppData.raw().count_documents({}) == 0
    assert statuses(await batch(cast.owner, put("a"), atomic=True)) == ["stored"]
    assert (await cast.owner.put(f"{DATA}/b", json=1)).status_code == 507
