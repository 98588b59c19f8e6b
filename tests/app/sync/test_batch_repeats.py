"""A batch with an Idempotency-Key is done once, in one transaction with its claim."""

import asyncio
from typing import Any

from models.app_data import AppData
from models.idempotency import IdempotencyKey
from tests.cast import Cast
from tests.factories.batches import APP, DATA, put, step

KEY = {"Idempotency-Key": "one"}
PATH = f"{APP}/batch"


async def test_a_repeat_writes_nothing_and_tells_the_same(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/n", json={"n": 0})
    body = {
        "writes": [
            step("n"),
            put("new"),
            put("late", 1, ifVersion=4),
            put("bad", ttl=0),
            step("new2"),
        ]
    }
    first = (await cast.owner.post(PATH, json=body, headers=KEY)).json()["results"]
    assert [result["status"] for result in first] == [
        "stored",
        "stored",
        "conflict",
        "invalid",
        "conflict",
    ]
    await cast.owner.put(f"{DATA}/late", json="now there")
    again = (await cast.owner.post(PATH, json=body, headers=KEY)).json()["results"]
    assert [result["status"] for result in again] == [result["status"] for result in first]
    assert [result.get("version") for result in again] == [2, 1, None, None, None]
    assert again[2]["current"]["value"] == "now there"
    assert again[3] == first[3]
    assert (await cast.owner.get(f"{DATA}/n")).json() == {"n": 1}
    row = await IdempotencyKey.raw().find_one()
    assert row is not None
    assert "ttl" not in str(row)


async def test_a_key_that_was_used_for_another_batch_is_refused(cast: Cast) -> None:
    assert (
        await cast.owner.post(PATH, json={"writes": [put("a")]}, headers=KEY)
    ).status_code == 200
    other = await cast.owner.post(PATH, json={"writes": [put("b")]}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


async def test_an_atomic_batch_that_was_refused_made_no_claim(cast: Cast) -> None:
    body: Any = {"atomic": True, "writes": [put("a", 1, ifVersion=1)]}
    assert (await cast.owner.post(PATH, json=body, headers=KEY)).status_code == 412
    await cast.owner.put(f"{DATA}/a", json=0)
    assert (await cast.owner.post(PATH, json=body, headers=KEY)).json()["results"][0][
        "version"
    ] == 2
    assert (await cast.owner.post(PATH, json=body, headers=KEY)).json()["results"][0][
        "version"
    ] == 2


async def test_racing_repeats_write_once(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/n", json={"n": 0})
    for atomic in (False, True):
        body = {"atomic": atomic, "writes": [step("n"), put(f"new{atomic}")]}
        key = {"Idempotency-Key": f"key{atomic}"}
        answers = await asyncio.gather(
            *(cast.owner.post(PATH, json=body, headers=key) for _ in range(8))
        )
        done = [answer.json()["results"] for answer in answers if answer.status_code == 200]
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert done
        assert {tuple(result["version"] for result in results) for results in done} == {
            (2 + atomic, 1)
        }
    assert (await cast.owner.get(f"{DATA}/n")).json() == {"n": 2}
    assert await AppData.raw().count_documents({}) == 3
