"""What tests of every route have in common: a database with a document of every collection."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from app.database import bind
from app.settings import Settings
from scripts.migrate import take_steps
from tests.factories.parameters import kept
from tests.harness import Api, Reads, serve
from tests.upgrades.making import HERE, named
from tests.upgrades.opening import RELEASES, open_release


@pytest.fixture
def reads() -> Reads:
    """What the requests of `opened` read."""
    return Reads()


@pytest.fixture
async def opened(
    empty_database: AsyncDatabase[Any],
    client: AsyncMongoClient[Any],
    base_settings: Settings,
    reads: Reads,
) -> AsyncIterator[tuple[Api, dict[str, str]]]:
    """An application over a document of every collection, and what path parameters stand for."""
    await open_release(empty_database, HERE / RELEASES[-1])
    own = base_settings.model_copy(
        update={"database": empty_database.name, "credential_cache_seconds": 0.0}
    )
    found = await named(await bind(client, own))
    await take_steps(empty_database)
    async with serve(own, reads) as api:
        yield api, {**found, **kept(found)}
