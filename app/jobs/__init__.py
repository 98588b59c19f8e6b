"""Claimed, resumable background work: one worker at a time holds a job, any worker can take it
over."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final

from opentelemetry.trace import StatusCode
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from app.database.turns import AlwaysOvertaken
from app.errors.sentences import sentence_of
from app.jobs.backoff import Backoff
from app.web.observability import log
from app.web.observability.measures import JOBS
from app.web.observability.spans import job_span
from models.aside import ROW_FAULTS, counted, tell
from models.base import Raw, now
from models.job import Job

CLAIM: Final = timedelta(seconds=30)
UNREADABLE: Final = "this version of Satchel cannot read the job's row"
_UNREADABLE_WAIT: Final = timedelta(minutes=1)
RETRY: Final = Backoff(20.0, 600.0)
_SOON: Final = timedelta(seconds=3)
_SOONEST: Final = timedelta(seconds=1)

Handler = Callable[["Claim"], Awaitable[datetime | None]]
"""Does a job. Of a periodic one it may say when there is next something to do, as far as it
knows."""


class LostClaim(Exception):
    """Another worker has taken the job over: stop, and write no more about it."""


class Claim:
    """A worker's hold on a job, good until its time runs out."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.due_again: datetime | None = None  # known once it is over

    async def renew(self, **progress: Any) -> None:
        """Prolong the claim and note progress. To be called between batches, each well under 30
        seconds.

        Raises:
            LostClaim: the claim's time ran out and another worker has the job.
        """
        fields: dict[str, Any] = {f"progress.{name}": value for name, value in progress.items()}
        await self._write({"$set": {**fields, "leasedUntil": now() + CLAIM, "updatedAt": now()}})

    async def hold(self, session: AsyncClientSession) -> None:
        """See, as of the transaction of this session, that the job is held by this claim.

        It locks nothing: who claims a job would wait for the transaction of one that was killed,
            for up to a minute.
        What is written in the transaction has to conflict with what another worker would write.

        Raises:
            LostClaim: another worker has the job.
        """
        if (
            await Job.raw().find_one(
                {"_id": self.job.id, "fence": self.job.fence}, {"_id": 1}, session=session
            )
            is None
        ):
            raise LostClaim

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Prolong the claim all the while, for work whose batches may take longer than it lasts.

        Where another worker has taken the job over, the next `renew` says so.
        """
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self) -> None:
        with suppress(LostClaim):
            while True:
                await asyncio.sleep(CLAIM.total_seconds() / 3)
                with suppress(PyMongoError):  # the next one is in time
                    await self.renew()

    async def finish(self, following: datetime | None = None) -> None:
        """Mark the job as done, or due again where it is periodic.

        Args:
            following: when there is next something to do: the job is due again then, after its
                period at the latest.
        """
        moment = now()
        fields: dict[str, Any] = {"lastRunAt": moment, "updatedAt": moment, "attempts": 0}
        self.due_again = self._following(following, moment)
        if self.due_again is None:
            fields["state"] = "done"
        else:
            fields |= {"state": "due", "runAt": self.due_again}
        gone = {"leasedUntil": "", "leasedBy": "", "takenFrom": "", "lastError": ""}
        await self._write({"$set": fields, "$unset": gone})

    def _following(self, following: datetime | None, moment: datetime) -> datetime | None:
        """When the job is due again, None where it is over."""
        if self.job.every_seconds is None:
            return None
        latest = moment + timedelta(seconds=self.job.every_seconds)
        return latest if following is None else min(max(following, moment + _SOONEST), latest)

    async def fail(self, error: Exception) -> None:
        """Leave the job to be tried again, after a time that grows with each failure.

        What others were in the way of is tried again soon: it has waited for them already, and they
        are gone within a minute, even if they were killed within a transaction.
        """
        moment = now()
        overtaken = isinstance(error, AlwaysOvertaken)
        self.due_again = moment + (_SOON if overtaken else RETRY.after(self.job.attempts))
        fields = {"lastError": sentence_of(error), "runAt": self.due_again, "updatedAt": moment}
        await self._write({"$set": fields, "$unset": {"leasedUntil": "", "leasedBy": ""}})

    async def _write(self, update: Mapping[str, Any]) -> None:
        result = await Job.raw().update_one({"_id": self.job.id, "fence": self.job.fence}, update)
        if result.matched_count == 0:
            raise LostClaim


async def claim(kinds: Collection[str]) -> Claim | None:
    """Take the job that is longest due and that no living worker holds; None where there is none.

    A row that cannot be read is set aside, and the next one taken.
    """
    while (
        row := await _claim_row({"kind": {"$in": list(kinds)}, "runAt": {"$lte": now()}})
    ) is not None:
        if (held := await _held(row)) is not None:
            return held
    return None


async def claim_now(name: str) -> Claim | None:
    """Take a periodic job before its time, since there is something to do; None where a living
    worker has it.

    One that failed waits its time.
    """
    row = await _claim_row({"_id": name, "$or": [{"runAt": {"$lte": now()}}, {"attempts": 0}]})
    return None if row is None else await _held(row)


async def _held(row: Raw) -> Claim | None:
    try:
        held = Claim(Job.from_stored(row))
    except ROW_FAULTS as error:
        await _set_aside(row, error)
        return None
    if (former := held.job.taken_from) is not None:
        told = "a job was taken over: its worker let its claim run out"
        log.warning(told, job=str(held.job.id), worker=former)
    return held


async def _claim_row(which: Raw) -> Raw | None:
    moment = now()
    fields = {
        "leasedUntil": moment + CLAIM,
        "leasedBy": {"$literal": _worker_name()},
        # whoever ends its job takes its name away
        "takenFrom": {"$ifNull": ["$leasedBy", "$$REMOVE"]},
        "runAt": {"$min": ["$runAt", moment]},
    }
    row: Raw | None = await Job.raw().find_one_and_update(
        {
            "state": "due",
            **which,
            # no claim lasts longer
            "leasedUntil": {"$not": {"$gt": moment, "$lte": moment + 2 * CLAIM}},
        },
        [{"$set": {**fields, "fence": counted("fence"), "attempts": counted("attempts")}}],
        sort=[("runAt", 1)],
        return_document=ReturnDocument.AFTER,
    )
    return row


async def _set_aside(row: Raw, error: Exception) -> None:
    """Put a row off that this version cannot read, so that the others go on; it is tried again, and
    shown to admins."""
    tell(Job, row["_id"], error)
    JOBS.labels(str(row["kind"]), "unreadable").observe(0)
    fields = {"runAt": now() + _UNREADABLE_WAIT, "lastError": UNREADABLE}
    identity = {"_id": row["_id"], "fence": row["fence"]}
    await Job.raw().update_one(
        identity, {"$set": fields, "$unset": {"leasedUntil": "", "leasedBy": ""}}
    )


def _worker_name() -> str:
    return f"{os.uname().nodename}:{os.getpid()}"


async def run_one(handlers: Mapping[str, Handler]) -> bool:
    """Claim a job that is due and do it. Returns whether there was one."""
    held = await claim(handlers.keys())
    if held is None:
        return False
    await perform(held, handlers[held.job.kind])
    return True


async def perform(held: Claim, handler: Handler) -> None:
    """Do a claimed job, within a span of its own, and note what became of it."""
    started, kind = time.perf_counter(), held.job.kind
    with job_span(kind) as span:
        outcome = await _outcome(held, handler)
        if outcome == "failed":
            span.set_status(StatusCode.ERROR)
    JOBS.labels(kind, outcome).observe(time.perf_counter() - started)


async def _outcome(held: Claim, handler: Handler) -> str:
    try:
        await held.finish(await handler(held))
    except LostClaim:
        log.warning("job taken over", kind=held.job.kind, job=str(held.job.id))
        return "taken_over"
    except Exception as error:
        log.error("job failed", kind=held.job.kind, job=str(held.job.id), exc_info=error)
        with suppress(LostClaim):  # whoever took it over will see for themselves
            await held.fail(error)
        return "failed"
    return "done"
