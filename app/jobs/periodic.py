"""Jobs that run again and again, and are due no later than after their period."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from pymongo.errors import DuplicateKeyError

from app.jobs import RETRY
from app.jobs.bell import Bell
from app.settings import Settings
from app.web.observability import log
from models.base import Raw, now
from models.job import Job

_PULLED_IN_EVERY: Final = 60.0


async def ensure_periodic(name: str, kind: str, every_seconds: float) -> None:
    """Have a job that runs again and again, whoever is first to ask for it."""
    job = Job(id=name, kind=kind, run_at=now(), every_seconds=every_seconds).stored()
    identity, fresh = {"_id": job.pop("_id")}, job
    del fresh["everySeconds"]
    update = {"$setOnInsert": fresh, "$set": {"everySeconds": every_seconds}}
    with suppress(DuplicateKeyError):  # another worker was first
        await Job.raw().update_one(identity, update, upsert=True)


async def pull_in() -> None:
    """Make periodic jobs due that lie further ahead than their period: a clock that was wrong has
    put them there."""
    moment = now()
    beyond = {
        "state": "due",
        "runAt": {"$gt": moment + timedelta(seconds=RETRY.longest)},
        "everySeconds": {"$ne": None},
    }
    async for row in Job.raw().find(beyond, {"runAt": 1, "everySeconds": 1}):
        with suppress(TypeError, ValueError, OverflowError):  # whoever claims it sets it aside
            period = timedelta(seconds=row["everySeconds"])
            await _pull_in(row, moment, period)


async def _pull_in(row: Raw, moment: datetime, period: timedelta) -> None:
    if row["runAt"] > moment + period:
        log.warning(
            "a job lay further ahead than its period", job=str(row["_id"]), runAt=row["runAt"]
        )
        update = {"$set": {"runAt": moment, "updatedAt": moment}}
        await Job.raw().update_one({"_id": row["_id"], "runAt": row["runAt"]}, update)


async def keep_jobs(_: Settings, stop: asyncio.Event, __: Bell | None = None) -> None:
    """Pull jobs in, once a minute, until `stop` is set."""
    while not stop.is_set():
        try:
            await pull_in()
        except Exception as error:  # the next one is in time
            log.error("jobs could not be looked at", error=type(error).__name__)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PULLED_IN_EVERY):
                await stop.wait()
