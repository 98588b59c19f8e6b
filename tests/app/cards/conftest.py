"""A card programme for each test."""

import pytest

from tests.cast import Cast, Programme, programme_of
from tests.harness import Api


@pytest.fixture
async def programme(api: Api, cast: Cast) -> Programme:
    """Two accounts, their users, spending profiles and a card."""
    return await programme_of(api, cast.admin)
