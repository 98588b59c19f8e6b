"""The application's stop."""

import asyncio
from contextlib import suppress

from app.main import _ended


async def test_a_task_that_loses_its_cancellation_ends_all_the_same() -> None:
    """The server would wait for it for ever."""
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        lost += 1
        await asyncio.sleep(3600)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await _ended(task)
    assert (task.cancelled(), lost) == (True, 1)
