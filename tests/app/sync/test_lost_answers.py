"""Answers that are lost between the server, its database and the client: nothing happens twice,
nothing by half."""

from typing import Any

import pytest
from pymongo import AsyncMongoClient

from models.app_data import AppData
from tests.app.faults import TRANSIENT, failing
from tests.cast import Cast
from tests.factories.batches import APP, DATA, batch, delete, put, said, step

Client = AsyncMongoClient[Any]
WRITES = [
    step("n", mutationId="m1"),
    put("new", 1, mutationId="m2"),
    delete("old", mutationId="m3"),
]
WANTED = [("stored", 2), ("stored", 1), ("stored", 2)]
DONE_AND_LOST = {"code": 91, "errmsg": "shutting down", "errorLabels": ["RetryableWriteError"]}


@pytest.fixture
async def stored(cast: Cast) -> Cast:
    await cast.owner.put(f"{DATA}/n", json={"n": 0})
    await cast.owner.put(f"{DATA}/old", json=0)
    return cast


async def see_that_it_happened_once(cast: Cast) -> None:
    rows = {row["dataKey"]: row async for row in AppData.raw().find()}
    assert {key: (row["version"], row.get("value")) for key, row in rows.items()} == {
        "n": (2, {"n": 1}),
        "new": (1, 1),
        "old": (2, None),
    }
    assert list(map(said, await batch(cast.owner, *WRITES))) == WANTED


@pytest.mark.parametrize("atomic", [False, True])
async def test_the_database_did_it_and_its_answer_was_lost(
    stored: Cast, client: Client, atomic: bool
) -> None:
    command = "commitTransaction" if atomic else "update"
    async with failing(client, command, mode={"times": 1}, writeConcernError=DONE_AND_LOST):
        assert list(map(said, await batch(stored.owner, *WRITES, atomic=atomic))) == WANTED
    await see_that_it_happened_once(stored)


@pytest.mark.parametrize("atomic", [False, True])
async def test_the_connection_broke_once(stored: Cast, client: Client, atomic: bool) -> None:
    async with failing(client, "update", mode={"times": 1}, closeConnection=True):
        assert list(map(said, await batch(stored.owner, *WRITES, atomic=atomic))) == WANTED
    await see_that_it_happened_once(stored)


async def test_a_transaction_that_was_overtaken_is_run_again(stored: Cast, client: Client) -> None:
    async with failing(client, "update", mode={"times": 2}, **TRANSIENT):
        assert list(map(said, await batch(stored.owner, *WRITES, atomic=True))) == WANTED
    await see_that_it_happened_once(stored)


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_client_that_was_told_503_sends_the_same_again(
    stored: Cast, client: Client, atomic: bool
) -> None:
    body = {"atomic": atomic, "writes": WRITES}
    async with failing(client, "update", mode="alwaysOn", closeConnection=True):
        answer = await stored.owner.post(f"{APP}/batch", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    again = await stored.owner.post(f"{APP}/batch", json=body)
    assert list(map(said, again.json()["results"])) == WANTED
    await see_that_it_happened_once(stored)
