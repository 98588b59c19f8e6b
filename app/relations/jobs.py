"""What the worker does for deletions: goes on with large ones, and sweeps again for what came late."""

import time
from typing import Final

from app.jobs import Claim, Handler
from app.observability import log
from app.relations.delete import SWEEP_JOB, sweep, sweep_again
from app.settings import Settings
from models.base import now
from models.deletion import Deletion

_LATE_SWEEPS: Final = "late-sweeps"
_BATCH: Final = 500
PERIODIC: Final = {_LATE_SWEEPS: 5.0}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

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

    return {SWEEP_JOB: sweep_deletion, _LATE_SWEEPS: late_sweeps}
