"""Use of indexes, redundancy, and slow operations that are told without a single value."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from indexes import stats, sync
from indexes.definitions import INDEXES
from indexes.index import Index
from models import DOCUMENTS
from models.base import Raw

SECRET = "ann@example.com"
TTL = {"expireAfterSeconds": 60}
PARTIAL = {"partialFilterExpression": {"a": {"$gt": 0}}}


@pytest.mark.parametrize(
    ("keys", "options", "longer", "longer_options", "covered"),
    [
        ({"a": 1}, {}, {"a": 1, "b": 1}, {}, True),
        ({"a": 1}, {}, {"a": 1, "b": 1}, {"unique": True}, True),
        ({"a": 1}, {}, {"b": 1, "a": 1}, {}, False),
        ({"a": 1}, {}, {"a": -1, "b": 1}, {}, False),
        ({"a": 1, "b": 1}, {}, {"a": 1, "b": -1, "c": 1}, {}, False),
        ({"a": 1}, {}, {"a": 1, "b": 1}, {"sparse": True}, False),
        ({"a": 1}, {}, {"a": 1, "b": 1}, PARTIAL, False),
        ({"a": 1}, {"unique": True}, {"a": 1, "b": 1}, {}, False),
        ({"a": 1}, {"sparse": True}, {"a": 1, "b": 1}, {}, False),
        ({"a": 1}, TTL, {"a": 1, "b": 1}, {}, False),
        ({"a": 1}, PARTIAL, {"a": 1, "b": 1}, {}, False),
    ],
)
def test_an_index_is_redundant_only_where_the_longer_one_does_all_its_work(
    keys: dict[str, int],
    options: dict[str, Any],
    longer: dict[str, int],
    longer_options: dict[str, Any],
    covered: bool,
) -> None:
    table = [Index(keys, "", options), Index(longer, "", longer_options)]
    assert stats.redundant(table) == ({table[0].name: table[1].name} if covered else {})


def test_what_covers_a_redundant_index_is_not_redundant_itself() -> None:
    table = [Index(dict.fromkeys("abc"[:length], 1), "") for length in (1, 2, 3)]
    assert stats.redundant(table) == {"a_1": "a_1_b_1_c_1", "a_1_b_1": "a_1_b_1_c_1"}


# Use


async def test_use_counts_the_operations_of_each_index_of_the_table(
    database: AsyncDatabase[Raw],
) -> None:
    await database.users.insert_one({"email": SECRET})
    for _ in range(3):
        await database.users.find_one({"email": SECRET})
    uses = await stats.usage(database)
    assert {(use.collection, use.name) for use in uses} >= {
        (document.collection_name(), index.name)
        for document in DOCUMENTS
        for index in INDEXES.get(document, [])
    }
    (email,) = [use for use in uses if (use.collection, use.name) == ("users", "email_1")]
    assert email.uses == 3
    assert email.bytes > 0
    assert "find_by_email" in email.serves
    (shorter,) = [use for use in uses if (use.collection, use.name) == ("analytics", "userId_1")]
    assert shorter.covered_by == "userId_1_timestamp_-1"
    assert not shorter.spare
    assert {use.name for use in uses if use.collection == "analytics" and use.spare} == {
        "eventCategory_1_timestamp_-1",
        "eventName_1_timestamp_-1",
        "sessionId_1_timestamp_-1",
    }


async def test_use_tells_of_unknown_indexes_last_and_of_no_collection_nothing(
    empty_database: AsyncDatabase[Raw],
) -> None:
    assert await stats.usage(empty_database) == []
    await empty_database.users.create_index({"stray": 1})
    assert [(use.name, use.serves) for use in await stats.usage(empty_database)] == [
        ("_id_", "find a document by its id"),
        ("stray_1", ""),
    ]


async def test_a_build_under_way_tells_how_far_it_is(database: AsyncDatabase[Raw]) -> None:
    await database.users.insert_many([{"email": f"{number}@example.com"} for number in range(100)])
    await database.users.drop_index("email_1")
    admin = database.client.admin
    await admin.command("configureFailPoint", "hangAfterStartingIndexBuild", mode="alwaysOn")
    try:
        planned = await sync.plan(database)
        build = asyncio.create_task(sync.apply(database, planned))
        for _ in range(500):
            if found := await stats.builds(database):
                break
            await asyncio.sleep(0.02)
    finally:
        await admin.command("configureFailPoint", "hangAfterStartingIndexBuild", mode="off")
    await build
    assert found == [stats.Build("users", 100, 100)]
    assert await stats.builds(database) == []


# Slow operations


async def test_the_profiler_notes_operations_by_shape_and_never_a_value(
    database: AsyncDatabase[Raw],
) -> None:
    user = ObjectId()
    async with stats.profiling(database, 0):
        for number in range(3):
            await database.users.find_one({"name": f"{SECRET}{number}"})
        await database.activities.find({"userId": user}).sort({"createdAt": 1}).to_list()
        await database.users.update_one({"email": SECRET}, {"$set": {"name": SECRET}})
        await database.users.find_one_and_update(
            {"$or": [{"email": SECRET}, {"name": SECRET}]}, {"$set": {"a": 1}}
        )
        await database.users.delete_many({"email": {"$in": [SECRET]}})
        await database.users.count_documents({"email": {"$gt": SECRET}})
        await database.users.insert_one({"email": SECRET})
        await (
            await database.users.aggregate([{"$match": {"name": SECRET}}, {"$sort": {"name": -1}}])
        ).to_list()
    slow = {(row.collection, row.shape): row for row in await stats.slow_operations(database)}
    assert slow["users", "find {name: ?}"].count == 3
    assert slow["users", "find {name: ?}"].plan == "COLLSCAN"
    assert slow["activities", "find {userId: ?} sort {createdAt: 1}"].sorted_in_memory
    assert slow["users", "update {email: ?}"].plan == "IXSCAN { email: 1 }"
    assert ("users", "findAndModify {$or: [{email: ?}, {name: ?}]}") in slow
    assert ("users", "remove {email: {$in: ?}}") in slow
    assert ("users", "aggregate [$match {email: {$gt: ?}}, $group]") in slow
    assert ("users", "aggregate [$match {name: ?}, $sort {name: -1}]") in slow
    assert SECRET not in repr(slow)
    assert str(user) not in repr(slow)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({}, "{}"),
        ({"userId": 1, "at": {"$gte": 1, "$lt": 2}}, "{userId: ?, at: {$gte: ?, $lt: ?}}"),
        ({"address": {"street": SECRET}}, "{address: ?}"),
        ({"$or": [{"a": 1}, {"a": 2}, {"b": 1}]}, "{$or: [{a: ?}, {b: ?}]}"),
        ({"until": {"$not": {"$lte": 1}}}, "{until: {$not: {$lte: ?}}}"),
        ({"$expr": {"$eq": ["$a", SECRET]}}, "{$expr: ?}"),
        ({"a": {"$elemMatch": {"b": SECRET}}}, "{a: {$elemMatch: ?}}"),
    ],
)
def test_a_filter_is_told_by_names_and_operators(query: Raw, told: str) -> None:
    assert stats.filter_shape(query) == told


async def test_without_a_profile_there_are_no_slow_operations(database: AsyncDatabase[Raw]) -> None:
    assert await stats.slow_operations(database) == []


async def test_profile_tells_only_of_its_own_time(database: AsyncDatabase[Raw]) -> None:
    async with stats.profiling(database, 0):
        await database.users.find_one({"before": 1})
    profiled = asyncio.create_task(stats.profile(database, 0.3, 0))
    while (await database.command("profile", -1))["was"] == 0:
        await asyncio.sleep(0.01)
    await database.users.find_one({"meanwhile": 1})
    shapes = {row.shape for row in await profiled}
    assert "find {meanwhile: ?}" in shapes
    assert "find {before: ?}" not in shapes


@pytest.mark.parametrize("ended_by", ["exception", "cancel"])
async def test_the_profiler_is_as_it_was_however_the_block_ends(
    database: AsyncDatabase[Raw], ended_by: str
) -> None:
    await database.command("profile", 0, slowms=77, sampleRate=0.5)
    before = await profiler(database)
    running = asyncio.Event()

    async def block() -> None:
        async with stats.profiling(database, 5):
            assert (await profiler(database))[:2] == (1, 5)
            running.set()
            if ended_by == "exception":
                raise KeyError
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await running.wait()
    task.cancel() if ended_by == "cancel" else None
    with pytest.raises(KeyError if ended_by == "exception" else asyncio.CancelledError):
        await task
    assert await profiler(database) == before == (0, 77, 0.5)
    await database.command("profile", 0, slowms=100, sampleRate=1.0)


async def profiler(database: AsyncDatabase[Raw]) -> tuple[int, int, float]:
    answer = await database.command("profile", -1)
    return answer["was"], answer["slowms"], answer["sampleRate"]
