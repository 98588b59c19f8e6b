"""Measures the database's clock, by which this process goes, and tells where the machine's is another."""

import asyncio
from typing import Final

import pymongo
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from app.observability import CLOCK_AHEAD, log
from models.base import Raw
from models.clock import CLOCK, steady

TOLERATED_SECONDS: Final = 1.0
"""By how much the machine's clock may differ from the database's before it is told."""
_EVERY_SECONDS: Final = 10.0


async def measure(client: AsyncMongoClient[Raw]) -> None:
    """Ask the primary for its time (`hello`), and go by it from now on.

    Raises:
        pymongo.errors.PyMongoError: it does not answer.
    """
    before, told = steady(), _is_off()
    answer = await client.admin.command("hello")
    CLOCK.measured(answer["localTime"].timestamp(), before, steady())
    CLOCK_AHEAD.set(CLOCK.ahead())
    if _is_off() and not told:
        log.warning(
            "this machine's clock differs from the database's, by which Satchel goes: set it by NTP",
            aheadSeconds=round(CLOCK.ahead(), 3),
        )


def _is_off() -> bool:
    return CLOCK.is_measured and abs(CLOCK.ahead()) > TOLERATED_SECONDS


async def keep(client: AsyncMongoClient[Raw]) -> None:
    """Measure again and again, until cancelled: clocks drift, and a new primary has another."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            with pymongo.timeout(_EVERY_SECONDS):
                await measure(client)
        except PyMongoError as error:  # by the clock that was measured last we go on
            log.info("the database's clock could not be read", error=type(error).__name__)
