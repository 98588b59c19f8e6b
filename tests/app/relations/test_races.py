"""Deleting a user while something is being written for that user leaves no orphan."""

import asyncio
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern

from app.relations.delete import sweep_again
from app.work import HOOKS
from tests.app.relations.delayed_writer import APP_NAME
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.deletions import EVENT, ROOT, finish, ledger_of, orphans_of, settle
from tests.harness import Api, Caller


@asynccontextmanager
async def delayed(client: AsyncMongoClient[Any], command: str, ms: int) -> AsyncIterator[None]:
    """Hold back this command of the second process for a while, before the database looks at it."""
    data = {
        "failCommands": [command],
        "blockConnection": True,
        "blockTimeMS": ms,
        "appName": APP_NAME,
    }
    await client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=data)
    try:
        yield
    finally:
        await client.admin.command("configureFailPoint", "failCommand", mode="off")


async def until_held_back(client: AsyncMongoClient[Any]) -> None:
    while True:
        pipeline = [
            {"$currentOp": {"allUsers": True}},
            {"$match": {"appName": APP_NAME, "active": True}},
        ]
        admin = client.get_database("admin", read_concern=ReadConcern("local"))
        async for operation in await admin.aggregate(pipeline):
            if set(operation.get("command", {})) & {"insert", "findAndModify"}:
                return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "command", "collection"),
    [
        ("activity", "insert", "activities"),
        ("event", "insert", "analytics"),
        ("data", "findAndModify", "appdata"),
    ],
)
async def test_insert_under_a_warm_lease_that_lands_after_the_deletion_is_swept(
    kind: str,
    command: str,
    collection: str,
    api: Api,
    cast: Cast,
    client: AsyncMongoClient[Any],
    database: AsyncDatabase[Any],
    mongodb_uri: str,
) -> None:
    user_id = ObjectId(cast.owner.id)
    script = [sys.executable, "-m", "tests.app.relations.delayed_writer"]
    writer = await asyncio.create_subprocess_exec(
        *script, mongodb_uri, database.name, kind, str(user_id), stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert await writer.stdout.readline() == b"held\n"
    async with delayed(client, command, 1500):
        writer.stdin.write(b"go\n")
        await until_held_back(client)
        deleted = await cast.owner.delete("/v1/users/me")
        assert deleted.status_code == 200
        assert await orphans_of(user_id) == {}
        assert await writer.stdout.readline() == b"written\n"
    await writer.wait()
    assert await orphans_of(user_id) == {collection: 1}, (
        "the write was not late, so this test shows nothing"
    )

    assert await sweep_again([await ledger_of(user_id)], api.settings, HOOKS) == 1
    assert await orphans_of(user_id) == {}
    ledger = await ledger_of(user_id)
    assert (ledger.final, ledger.deleted[collection]) == (False, 1)
    assert await sweep_again([ledger], api.settings, HOOKS) == 0
    assert (await ledger_of(user_id)).final


async def write_until_gone(user: Caller, data_key: str, acknowledged: list[int]) -> None:
    writes = [
        lambda: user.post("/v1/users/me/activity", json={"appId": "notes", "eventType": "t"}),
        lambda: user.post("/v1/analytics/events", json=EVENT),
        lambda: user.put(f"/v1/users/me/apps/notes/data/{data_key}", json=1),
        lambda: user.put(f"/v1/users/me/apps/notes/data/{data_key}?activity=saved", json=1),
        lambda: user.post("/v1/users/me/logins", json={"appId": "notes"}),
        lambda: user.merge("/v1/users/me/profile", {"bio": "b"}),
    ]
    while True:
        status = (await random.choice(writes)()).status_code
        acknowledged.append(status)
        if status in (404, 422):
            return
        assert status in (200, 201), status


async def test_two_hundred_deletions_among_writers_leave_nothing(
    make_api: MakeApi, cast: Cast
) -> None:
    """Two applications, each with leases of its own, so that one of them does not know of the
    deletion at first."""
    first, second = await make_api(), await make_api()
    randomness = random.Random(7)
    statuses, gone = list[int](), list[ObjectId]()
    for _ in range(200):
        user = (await cast.admin.post("/v1/users", json={})).json()["id"]
        callers = [api.token(user) for api in (first, second) for _ in range(2)]
        writers = [
            asyncio.create_task(write_until_gone(c, f"k{i}", statuses))
            for i, c in enumerate(callers)
        ]
        await asyncio.sleep(randomness.uniform(0, 0.02))
        deleted = await first.token(user).delete("/v1/users/me")
        assert deleted.status_code in (
            200,
            202,
        )  # 202 where the second that a caller waits for the sweep was too short
        second.app.state.leases.drop(ObjectId(user))  # five seconds later, in real life
        await asyncio.gather(*writers)
        if deleted.status_code == 202:
            await finish(first.settings, ObjectId(user))
        gone.append(ObjectId(user))
    await settle(first.settings, *gone)
    assert await orphans_of(*gone) == {}
    assert statuses.count(200) + statuses.count(201) > 500, (
        "the writers wrote too little for a race"
    )
