"""A database in memory for each test: nothing here starts a MongoDB."""

import pytest

from tests.quick.mock import Database, bound_database


@pytest.fixture
async def database() -> Database:
    """In place of the real one of tests/conftest.py."""
    return await bound_database()
