"""`python -m scripts worker`: runs the jobs, in a process and a pool of its own."""

import asyncio
import signal
import time

from app.database import bind, connect
from app.jobs import Claim, Handler, ensure_periodic, work
from app.observability import configure_logging, log
from app.relations.delete import SWEEP_JOB, sweep, sweep_again
from app.settings import Settings, load_settings
from models.app_data import AppData
from models.base import now
from models.deletion import Deletion
from scripts.target import resolve_uri

EXPIRY_JOB = "expire-app-data"
LATE_SWEEPS_JOB = "late-sweeps"
_BATCH = 500


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

    async def expire(claim: Claim) -> None:
        """Turn app data whose time is over into tombstones, so that devices learn of it."""
        total = 0
        while expired := await AppData.expire_due(_BATCH):
            total += expired
            await claim.renew(expired=total)

    async def sweep_deletion(claim: Claim) -> None:
        """Go on with a deletion that was too large to be done while its caller waited."""
        row = await Deletion.raw().find_one({"_id": claim.job.id})
        if row is None:
            return
        ledger = Deletion.from_stored(row)
        while not ledger.swept:
            await sweep(ledger, deadline=time.monotonic() + 5)
            await claim.renew(deleted=ledger.deleted)

    async def late_sweeps(claim: Claim) -> None:
        """Sweep again after what was deleted, for what was under way at the time."""
        while due := await Deletion.find_due(now(), _BATCH):
            for ledger in due:
                removed = await sweep_again(ledger, settings)
                await claim.renew()
                if removed:
                    log.warning("late arrivals of a deleted root", root=ledger.root, removed=removed)

    return {EXPIRY_JOB: expire, SWEEP_JOB: sweep_deletion, LATE_SWEEPS_JOB: late_sweeps}


async def ensure_jobs() -> None:
    """Have the periodic jobs in the database."""
    await ensure_periodic(EXPIRY_JOB, EXPIRY_JOB, every_seconds=5)
    await ensure_periodic(LATE_SWEEPS_JOB, LATE_SWEEPS_JOB, every_seconds=5)


async def _run(settings: Settings) -> None:
    client = connect(settings, resolve_uri(settings), bounded=False)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    async with client:
        await bind(client, settings)
        await ensure_jobs()
        log.info("worker started")
        await work(handlers(settings), stop, settings.worker_poll_seconds)
    log.info("worker stopped")


def main() -> None:
    """Run jobs until SIGINT or SIGTERM; the one in hand is finished."""
    settings = load_settings()
    configure_logging(settings)
    asyncio.run(_run(settings))
