"""Plan, apply and verify: what a database lacks, what is mended when, and that nothing is ever left
unprotected."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import CommandListener

from indexes import sync
from indexes.definitions import INDEXES
from indexes.findings import Kind
from models import DOCUMENTS, User
from models.base import Raw
from tests.factories.indexes import drift, indexes, mend

LATER = 90 * 24 * 60 * 60


class Commands(CommandListener):
    """Every command that a client sends."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def started(self, event: Any) -> None:
        self.sent.append(event)

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


@pytest.fixture
async def commands(
    mongodb_uri: str, database: AsyncDatabase[Raw]
) -> AsyncIterator[tuple[AsyncDatabase[Raw], Commands]]:
    """The database through a client with a time limit of its own, and what that client sends."""
    listener = Commands()
    client: AsyncMongoClient[Raw] = AsyncMongoClient(
        mongodb_uri, timeoutMS=5000, event_listeners=[listener]
    )
    yield client[database.name], listener
    await client.close()


# Missing


async def test_an_empty_database_lacks_the_whole_table(empty_database: AsyncDatabase[Raw]) -> None:
    wanted = [
        (Kind.MISSING, d.collection_name(), i.name) for d in DOCUMENTS for i in INDEXES.get(d, [])
    ]
    assert await drift(empty_database) == wanted
    assert await sync.missing(empty_database) == [
        f"{collection}.{name}" for _, collection, name in wanted
    ]
    assert len(await sync.verify(empty_database)) == len(wanted)


async def test_applying_makes_the_drift_go_away_and_the_second_time_there_is_nothing_to_do(
    empty_database: AsyncDatabase[Raw],
) -> None:
    mended = await mend(empty_database)
    assert {finding.kind for finding in mended} == {Kind.MISSING}
    assert await sync.verify(empty_database) == []
    assert await sync.missing(empty_database) == []
    assert await mend(empty_database, replace=True, prune=True) == []


async def test_one_missing_index_is_named_and_built(database: AsyncDatabase[Raw]) -> None:
    await database.users.drop_index("email_1")
    assert await sync.missing(database) == ["users.email_1"]
    assert await sync.verify(database) == [
        "users.email_1 is missing: {email: 1} unique partialFilterExpression={'email': {'$gt': ''}}"
    ]
    assert [finding.name for finding in await mend(database)] == ["email_1"]
    assert await sync.verify(database) == []


async def test_an_index_that_is_still_being_built_counts_as_missing(
    database: AsyncDatabase[Raw],
) -> None:
    await database.users.insert_one({"email": "a@example.com"})
    await database.users.drop_index("email_1")
    async with failing(database, "hangAfterStartingIndexBuild"):
        build = asyncio.create_task(mend(database))
        await until_listed(database, "users", "email_1")
        assert await sync.missing(database) == ["users.email_1"]
    await build
    assert await sync.missing(database) == []


async def test_progress_is_told_before_each_step_and_at_the_end(
    empty_database: AsyncDatabase[Raw],
) -> None:
    steps: list[tuple[int, int, str]] = []
    planned = await sync.plan(empty_database)
    await sync.apply(empty_database, planned, progress=lambda *step: steps.append(step))
    total = len(planned.drift)
    assert steps[0] == (0, total, f"building {len(INDEXES[User])} of users")
    assert steps[-1] == (total, total, "done")
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)


async def test_a_build_has_no_time_limit_even_where_the_client_has(
    commands: tuple[AsyncDatabase[Raw], Commands],
) -> None:
    database, listener = commands
    await database.activities.drop_indexes()
    await mend(database)
    builds = [event.command for event in listener.sent if event.command_name == "createIndexes"]
    assert len(builds) == 1
    assert "maxTimeMS" not in builds[0]


async def test_looking_costs_one_listing_per_collection(
    commands: tuple[AsyncDatabase[Raw], Commands],
) -> None:
    database, listener = commands
    assert await sync.missing(database) == []
    assert [event.command_name for event in listener.sent] == ["listIndexes"] * len(DOCUMENTS)


# Expiry times


@pytest.mark.parametrize("before", [{"expireAfterSeconds": 60}, {}])
async def test_an_expiry_time_is_changed_without_a_rebuild(
    commands: tuple[AsyncDatabase[Raw], Commands], before: dict[str, Any]
) -> None:
    database, listener = commands
    await database.activities.drop_index("timestamp_1")
    await database.activities.create_index({"timestamp": 1}, **before)
    assert await drift(database) == [(Kind.TTL, "activities", "timestamp_1")]
    listener.sent.clear()
    await mend(database)
    assert {event.command_name for event in listener.sent} == {"listIndexes", "collMod"}
    assert (await indexes(database, "activities"))["timestamp_1"]["expireAfterSeconds"] == LATER
    assert await sync.verify(database) == []


async def test_an_expiry_that_the_table_does_not_want_goes_by_replacement_only(
    database: AsyncDatabase[Raw],
) -> None:
    await database.analytics.drop_index("timestamp_1")
    await database.analytics.create_index({"timestamp": 1}, expireAfterSeconds=10**9)
    assert await drift(database) == [(Kind.CHANGED, "analytics", "timestamp_1")]
    await mend(database, replace=True)
    assert await sync.verify(database) == []


# Changed definitions


# Unknown indexes


# Lean


# Several at once


@asynccontextmanager
async def failing(database: AsyncDatabase[Raw], point: str) -> AsyncIterator[None]:
    admin = database.client.admin
    await admin.command("configureFailPoint", point, mode="alwaysOn")
    try:
        yield
    finally:
        await admin.command("configureFailPoint", point, mode="off")


async def until_listed(database: AsyncDatabase[Raw], collection: str, name: str) -> None:
    for _ in attempts():
        if name in await indexes(database, collection):
            return
        await asyncio.sleep(0.02)


def attempts() -> Iterator[int]:
    yield from range(500)
    raise AssertionError("it did not come about")
