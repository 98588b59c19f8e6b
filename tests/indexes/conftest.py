"""Databases of their own, since these tests change indexes and send queries that nothing else
would."""

import secrets
from collections.abc import AsyncIterator

import pytest
from pymongo.asynchronous.database import AsyncDatabase

from app.database import bind, connect
from app.settings import Settings
from indexes import sync
from indexes.definitions import INDEXES
from indexes.duplicates import find_duplicates
from models.base import Raw
from tests.filled import fill
from tests.indexes.function_operations import FUNCTIONS
from tests.indexes.operations import OPERATIONS
from tests.indexes.recording import Recorded, recording


@pytest.fixture
async def empty_database(
    mongodb_uri: str, base_settings: Settings
) -> AsyncIterator[AsyncDatabase[Raw]]:
    """A bound database without collections, through a client that no recorder listens to."""
    own = base_settings.model_copy(update={"database": f"indexes_{secrets.token_hex(4)}"})
    async with connect(own, mongodb_uri) as client:
        yield await bind(client, own)
        await client.drop_database(own.database)


@pytest.fixture
async def database(empty_database: AsyncDatabase[Raw]) -> AsyncDatabase[Raw]:
    """The same with every index of the table."""
    await sync.apply(empty_database, await sync.plan(empty_database))
    return empty_database


@pytest.fixture(scope="module")
async def filled(mongodb_uri: str, base_settings: Settings) -> AsyncIterator[Settings]:
    """The settings of a database with every index and many documents."""
    own = base_settings.model_copy(update={"database": f"explain_{secrets.token_hex(4)}"})
    async with recording(own, mongodb_uri) as (database, _):
        await sync.apply(database, await sync.plan(database))
        await fill(database)
        yield own
        await database.client.drop_database(database.name)


@pytest.fixture
async def recorded(mongodb_uri: str, filled: Settings) -> AsyncIterator[Recorded]:
    """The filled database, and a recorder of what the test sends."""
    async with recording(filled, mongodb_uri) as found:
        yield found


@pytest.fixture(scope="module")
async def everything(mongodb_uri: str, filled: Settings) -> AsyncIterator[Recorded]:
    """The filled database, and all that the documents' operations send."""
    async with recording(filled, mongodb_uri) as (database, recorder):
        for ways in [*OPERATIONS.values(), *FUNCTIONS.values()]:
            for operation in ways:
                await operation()
        for document, table in INDEXES.items():
            for index in table:
                if index.options.get("unique"):
                    await find_duplicates(database, document.collection_name(), index)
        yield database, recorder
