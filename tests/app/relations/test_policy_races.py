"""Sixteen writers in two processes race the deletion of their parent, for every policy: no orphan,
no lost RESTRICT.

`SATCHEL_TEST_ROUNDS=200` makes it longer.
"""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.errors import Restricted
from app.relations.delete import delete_root
from app.relations.hooks import NO_HOOKS
from app.settings import Settings
from models.base import Stored
from tests.app.relations.racing_writer import give_all
from tests.app.relations.toys import RELATIONS, Group, Key, Person, Town, bind_toys
from tests.factories.deletions import ROOT
from tests.factories.policies import add

ROUNDS = int(os.environ.get("SATCHEL_TEST_ROUNDS", "60"))
LATE = (0.0, 0.02, 0.06)
PARENTS: dict[str, type[Stored]] = {"CASCADE": Person, "RESTRICT": Person, "SET_NULL": Group}


@pytest.mark.parametrize("policy", PARENTS)
async def test_writers_race_a_deletion(
    policy: str, database: AsyncDatabase[Any], mongodb_uri: str, base_settings: Settings
) -> None:
    await bind_toys(database)
    script = [sys.executable, "-m", "tests.app.relations.racing_writer", mongodb_uri, database.name]
    other = await asyncio.create_subprocess_exec(*script, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    assert other.stdin is not None
    assert other.stdout is not None
    assert await other.stdout.readline() == b"ready\n"
    town, randomness = await add(Town()), random.Random(7)
    kind, acknowledged, deleted = PARENTS[policy], 0, 0
    settings = base_settings.model_copy(update={"deletion_inline_seconds": 30})
    try:
        for number in range(ROUNDS):
            late = LATE[number % len(LATE)]
            parent = await add(kind(town_id=town))  # type: ignore[call-arg]
            other.stdin.write(f"{policy} {town} {parent} {late}\n".encode())
            writing = asyncio.create_task(give_all(policy, town, parent, late))
            await asyncio.sleep(randomness.uniform(0, 0.04))
            gone = await _delete(kind, parent, settings)
            given = await writing + int(await other.stdout.readline())
            acknowledged, deleted = acknowledged + given, deleted + gone
            await _holds(policy, parent, given=given, gone=gone)
    finally:
        other.stdin.close()
        await other.wait()
    assert 0 < deleted <= ROUNDS
    assert acknowledged > ROUNDS, "the writers wrote too little for a race"
    assert (deleted < ROUNDS) == (policy == "RESTRICT"), (
        "every round went one way, so that nothing was shown"
    )


async def _delete(kind: type[Stored], parent: ObjectId, settings: Settings) -> bool:
    try:
        ledger = await delete_root(kind, parent, "test", settings, NO_HOOKS, relations=RELATIONS)
    except Restricted:
        return False
    assert ledger.swept
    return True


async def _holds(policy: str, parent: ObjectId, *, given: int, gone: bool) -> None:
    """No orphan; and where the parent went, nobody was told that it has a child that forbids
    this."""
    referring = {
        "CASCADE": await Person.raw().count_documents({"keeperId": parent}),
        "RESTRICT": await Key.raw().count_documents({"personId": parent}),
        "SET_NULL": await Key.raw().count_documents({"groupId": parent}),
    }
    if gone:
        assert referring == dict.fromkeys(referring, 0)
        assert policy != "RESTRICT" or given == 0
    else:
        assert await PARENTS[policy].raw().find_one({"_id": parent}) is not None
        assert referring["RESTRICT"] == given > 0
