"""What tests of declared queries have in common."""

import pytest

from app.settings import Settings
from tests.cast import Cast
from tests.factories.queries import build, declare, fill


@pytest.fixture
async def built(cast: Cast, base_settings: Settings) -> Cast:
    """The queries are declared and built, and there are tasks."""
    await declare(cast)
    await build(base_settings)
    await fill(cast.owner)
    return cast
