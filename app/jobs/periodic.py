"""Jobs that run again and again, and are due no later than after their period; and jobs that nobody
could claim."""

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
_AT_ONCE: Final = 1000


async def ensure_periodic(name: str, kind: str, every_seconds: float) -> None:
    """Have a job that runs again and again, whoever is first to ask for it."""
    job = Job(id=name, kind=kind, run_at=now(), every_seconds=every_seconds).stored()
    identity = {"_id": job.pop("_id")}
    # one that had lost its period was over after its next run
    always = {name: job.pop(name) for name in ("everySeconds", "state")}
    update = {"$setOnInsert": job, "$set": always}
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


async def mend() -> None:
    """Make jobs due now that nobody could claim, since when they are due is no time, or whether
    they are is not told: a row was damaged."""
    moment = now()
    for row in await Job.unclaimable(_AT_ONCE):
        log.error(
            "a job that nobody could claim was made due: its row is damaged", job=str(row["_id"])
        )
        as_read = {name: {"$eq": row.get(name)} for name in ("state", "runAt")}
        update = {"$set": {"state": "due", "runAt": moment, "updatedAt": moment}}
        await Job.raw().update_one({"_id": row["_id"], **as_read}, update)


async def keep_jobs(_: Settings, stop: asyncio.Event, __: Bell | None = None) -> None:
    """Pull jobs in and mend them, once a minute, until `stop` is set."""
    while not stop.is_set():
        try:
            await pull_in()
            await mend()
        except Exception as error:  # the next one is in time
            log.error("jobs could not be looked at", error=type(error).__name__)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PULLED_IN_EVERY):
                await stop.wait()
