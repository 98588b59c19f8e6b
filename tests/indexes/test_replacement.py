"""Indexes that are replaced, pruned, or mended by many at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from indexes import lease, sync
from indexes.definitions import INDEXES
from indexes.findings import STAND_IN, Kind
from indexes.lease import alone
from models import DOCUMENTS
from models.base import Raw
from tests.factories.damage import DAMAGE, damaged
from tests.factories.indexes import drift, everything, indexes, mend

EMAIL: Raw = {"unique": True, "partialFilterExpression": {"email": {"$gt": ""}}}


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({"email": 1}, {}),
        ({"email": 1}, {"unique": True}),
        ({"email": 1}, {"unique": True, "sparse": True}),
        ({"email": 1}, {"name": "by_email", **EMAIL}),
        ({"email": 1}, {**EMAIL, "hidden": True}),
        ({"name": 1}, {"name": "email_1"}),
    ],
    ids=["plain", "not partial", "sparse", "other name", "hidden", "other keys"],
)
async def test_another_definition_stays_until_replace_is_asked_for(
    database: AsyncDatabase[Raw], keys: dict[str, int], options: dict[str, Any]
) -> None:
    await database.users.drop_index("email_1")
    await database.users.create_index(keys, **options)
    before = await everything(database)
    assert await drift(database) == [(Kind.CHANGED, "users", "email_1")]
    assert await mend(database, prune=True) == []
    assert await everything(database) == before
    await mend(database, replace=True)
    assert await sync.verify(database) == []
    assert set(await indexes(database, "users")) == {
        "_id_",
        *(i.name for i in INDEXES[DOCUMENTS[0]]),
    }


async def test_two_indexes_in_the_way_of_one_both_go(database: AsyncDatabase[Raw]) -> None:
    await database.users.drop_index("email_1")
    await database.users.create_index({"email": 1}, name="by_email", **EMAIL)
    await database.users.create_index({"name": 1}, name="email_1")
    await mend(database, replace=True)
    assert await sync.verify(database) == []


async def test_no_duplicate_gets_in_while_a_unique_index_is_replaced(
    database: AsyncDatabase[Raw],
) -> None:
    users = [ObjectId() for _ in range(2000)]
    await database.profiles.insert_many([{"userId": user} for user in users])
    await database.profiles.drop_index("userId_1")
    await database.profiles.create_index({"userId": 1}, unique=True, sparse=True)
    replacing = asyncio.create_task(mend(database, replace=True))
    refused = 0
    while not replacing.done():
        with pytest.raises(DuplicateKeyError):
            await database.profiles.insert_one({"userId": users[refused % len(users)]})
        refused += 1
    await replacing
    assert refused > 5
    assert await sync.verify(database) == []


@pytest.mark.parametrize("dropped", ["old", "nothing"])
async def test_a_replacement_that_was_interrupted_is_finished_by_the_next_apply(
    database: AsyncDatabase[Raw], dropped: str
) -> None:
    if dropped == "old":
        await database.users.drop_index("email_1")
    await database.users.create_index({"email": -1}, name=STAND_IN + "email_1", **EMAIL)
    lines = await sync.verify(database)
    assert any("left by an interrupted --replace" in line for line in lines)
    await mend(database)
    assert await sync.verify(database) == []


async def test_a_stand_in_of_an_older_definition_is_no_obstacle(
    database: AsyncDatabase[Raw],
) -> None:
    await database.users.drop_index("email_1")
    await database.users.create_index({"email": 1})
    await database.users.create_index({"email": -1}, name=STAND_IN + "email_1", sparse=True)
    await mend(database, replace=True)
    assert await sync.verify(database) == []


async def test_an_index_that_would_serve_as_stand_in_is_used(database: AsyncDatabase[Raw]) -> None:
    await database.users.drop_index("email_1")
    await database.users.create_index({"email": 1})
    await database.users.create_index({"email": -1}, name="mine", **EMAIL)
    await mend(database, replace=True)
    assert await drift(database) == [(Kind.UNKNOWN, "users", "mine")]


async def test_an_unknown_index_goes_by_prune_only(database: AsyncDatabase[Raw]) -> None:
    await database.users.create_index({"name": 1, "email": 1})
    await database.apps.create_index({"name": 1})
    assert await drift(database) == [
        (Kind.UNKNOWN, "users", "name_1_email_1"),
        (Kind.UNKNOWN, "apps", "name_1"),
    ]
    assert await mend(database, replace=True) == []
    assert len(await mend(database, prune=True)) == 2
    assert await sync.verify(database) == []


async def test_what_a_plan_has_not_seen_is_not_pruned(database: AsyncDatabase[Raw]) -> None:
    await database.users.create_index({"seen": 1})
    planned = await sync.plan(database)
    await database.users.create_index({"unseen": 1})
    await sync.apply(database, planned, prune=True)
    assert await drift(database) == [(Kind.UNKNOWN, "users", "unseen_1")]


REDUNDANT = {
    ("activities", "userId_1", "userId_1_timestamp_-1__id_-1"),
    ("activities", "appId_1", "appId_1_timestamp_-1"),
    ("activities", "sessionId_1", "sessionId_1_timestamp_-1"),
    ("activities", "userId_1_timestamp_-1", "userId_1_timestamp_-1__id_-1"),
    ("appdata", "userId_1", "userId_1_appId_1_dataKey_1"),
    ("appdata", "appId_1", "appId_1__id_1"),
    ("appdata", "userId_1_appId_1", "userId_1_appId_1_dataKey_1"),
    ("analytics", "userId_1", "userId_1_timestamp_-1"),
    ("analytics", "eventName_1", "eventName_1_timestamp_-1"),
    ("analytics", "eventCategory_1", "eventCategory_1_timestamp_-1"),
    ("users", "accountId_1", "accountId_1__id_-1"),
    ("cards", "userId_1", "userId_1__id_-1"),
    ("cards", "accountId_1", "accountId_1__id_-1"),
    ("cards", "accountId_1_userId_1", "accountId_1_userId_1__id_-1"),
    ("cards", "accountId_1_status_1", "accountId_1_status_1__id_-1"),
    ("spendingprofiles", "accountId_1", "accountId_1__id_-1"),
    ("activities", "appId_1_timestamp_-1", None),
    ("activities", "sessionId_1_timestamp_-1", None),
    ("activities", "eventType_1_timestamp_-1", None),
    ("analytics", "eventCategory_1_timestamp_-1", None),
    ("analytics", "eventName_1_timestamp_-1", None),
    ("analytics", "sessionId_1_timestamp_-1", None),
}


async def test_the_plan_names_redundant_indexes_and_they_are_no_drift(
    database: AsyncDatabase[Raw],
) -> None:
    found = (await sync.plan(database)).of(Kind.REDUNDANT)
    assert {
        (finding.collection, finding.name, finding.covered_by) for finding in found
    } == REDUNDANT
    assert await sync.verify(database) == []


async def test_lean_builds_no_redundant_index(empty_database: AsyncDatabase[Raw]) -> None:
    await mend(empty_database, lean=True)
    assert (await sync.plan(empty_database, lean=True)).findings == ()
    assert await sync.missing(empty_database, lean=True) == []
    lacking = {(collection, name) for _, collection, name in await drift(empty_database)}
    assert lacking == {(collection, name) for collection, name, _ in REDUNDANT}


async def test_lean_keeps_redundant_indexes_that_are_there_until_prune(
    database: AsyncDatabase[Raw],
) -> None:
    assert await sync.verify(database, lean=True) == []
    assert await mend(database, lean=True) == []
    dropped = await mend(database, lean=True, prune=True)
    assert {
        (finding.collection, finding.name, finding.covered_by) for finding in dropped
    } == REDUNDANT
    assert (await sync.plan(database, lean=True)).findings == ()


async def test_to_lean_a_redundant_name_with_another_definition_is_unknown(
    database: AsyncDatabase[Raw],
) -> None:
    await database.activities.drop_index("userId_1")
    await database.activities.create_index({"userId": 1}, sparse=True)
    assert await drift(database, lean=True) == [(Kind.UNKNOWN, "activities", "userId_1")]


async def test_several_appliers_on_an_empty_database_end_well(
    empty_database: AsyncDatabase[Raw],
) -> None:
    await asyncio.gather(*(mend(empty_database) for _ in range(4)))
    assert await sync.verify(empty_database) == []


async def test_several_that_replace_and_prune_at_once_end_well(
    database: AsyncDatabase[Raw],
) -> None:
    await database.profiles.insert_many([{"userId": number} for number in range(500)])
    await database.profiles.drop_index("userId_1")
    await database.profiles.create_index({"userId": 1}, unique=True, sparse=True)
    await database.users.create_index({"stray": 1})
    planned = await sync.plan(database)
    mended = await asyncio.gather(
        *(sync.apply(database, planned, replace=True, prune=True) for _ in range(3))
    )
    assert sorted(len(findings) for findings in mended) == [0, 0, 2]
    assert await sync.verify(database) == []


async def test_the_lease_of_a_process_that_died_runs_out(database: AsyncDatabase[Raw]) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    await database.leases.insert_one({"_id": "indexes", "holder": ObjectId(), "until": past})
    await database.users.create_index({"stray": 1})
    await asyncio.wait_for(mend(database, prune=True), 5)
    assert await sync.verify(database) == []


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("field", ["holder", "until"])
async def test_a_damaged_lease_keeps_nobody_waiting(
    field: str, kind: str, database: AsyncDatabase[Raw]
) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    row = {"_id": "indexes", "holder": ObjectId(), "until": past}
    await database.leases.insert_one(damaged(row, (field,), kind) or row)
    async with asyncio.timeout(5), alone(database):
        held = await database.leases.find_one({"_id": "indexes"}) or {}
    assert isinstance(held["holder"], ObjectId)


async def test_a_lease_that_is_held_is_waited_for_and_prolonged(
    database: AsyncDatabase[Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_SECONDS", 0.6)
    await database.users.create_index({"stray": 1})
    async with alone(database):
        waiting = asyncio.create_task(mend(database, prune=True))
        done, _ = await asyncio.wait({waiting}, timeout=1.5)
        assert not done
    assert [finding.name for finding in await waiting] == ["stray_1"]
