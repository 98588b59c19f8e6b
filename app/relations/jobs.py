"""What the worker does for deletions: goes on with large ones, and sweeps again for what came
late."""

import time
from datetime import datetime
from itertools import groupby
from typing import Final

from bson import ObjectId

from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.relations.delete import SWEEP_JOB, sweep_again
from app.relations.hooks import Hooks
from app.relations.merging.guests import look_after
from app.relations.sweep import sweep
from app.settings import Settings
from app.web.observability import log
from models.aside import ROW_FAULTS, put_off
from models.base import now
from models.deletion import Deletion
from models.user import User

_LATE_SWEEPS: Final = "late-sweeps"
_BATCH: Final = 500
_GROUP: Final = 100
_GUESTS: Final = "expire-guests"
PERIODIC: Final = {_LATE_SWEEPS: 300.0, _GUESTS: 3600.0}
WOKEN: Final = {_LATE_SWEEPS: (Watched(Deletion, "nextSweepAt"),)}
PLACES: Final = {SWEEP_JOB: 2}


def handlers(settings: Settings, hooks: Hooks) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

    async def sweep_deletion(claim: Claim) -> None:
        """Go on with a deletion that was too large to be done while its caller waited."""
        ledger = await Deletion.find_by_id(ObjectId(claim.job.id))
        while ledger is not None and not ledger.swept:
            await sweep(ledger, hooks, deadline=time.monotonic() + 5)
            ledger = await Deletion.find_by_id(ledger.id)
            if ledger is not None:
                moved = {} if ledger.moved is None else {"moved": ledger.moved}
                await claim.renew(deleted=ledger.deleted, nulled=ledger.nulled, **moved)

    async def late_sweeps(claim: Claim) -> datetime | None:
        """Sweep again after what was deleted, for what was under way at the time."""
        while due := await Deletion.find_due(now(), _BATCH):
            for group in _groups(due):
                removed = await _sweep_again(group, settings, hooks, claim)
                await claim.renew()
                if removed:
                    log.warning(
                        "late arrivals of deleted documents", root=group[0].root, removed=removed
                    )
        return await Deletion.earliest("nextSweepAt")

    async def guests(claim: Claim) -> None:
        """Delete guests who have not come back."""
        while due := await User.find_lapsed_guests(now(), _GROUP):
            for row in due:
                await look_after(row, settings, hooks)
                await claim.renew()

    return {SWEEP_JOB: sweep_deletion, _LATE_SWEEPS: late_sweeps, _GUESTS: guests}


async def _sweep_again(
    group: list[Deletion], settings: Settings, hooks: Hooks, claim: Claim
) -> int:
    """Sweep for a group; where that fails, for each by itself, and those for which it still fails
    are put off."""
    try:
        return await sweep_again(group, settings, hooks, hold=claim.hold)
    except (*ROW_FAULTS, RuntimeError) as error:
        if len(group) > 1:
            return sum([await _sweep_again([entry], settings, hooks, claim) for entry in group])
        await put_off(group[0], "nextSweepAt", error)
    return 0


def _groups(due: list[Deletion]) -> list[list[Deletion]]:
    """Entries of one collection together; what came with a root before the root, whose receipt
    waits for it."""
    ordered = sorted(due, key=lambda entry: (entry.of is None, entry.root))
    groups = [
        list(group)
        for _, group in groupby(ordered, key=lambda entry: (entry.of is None, entry.root))
    ]
    return [
        group[start : start + _GROUP] for group in groups for start in range(0, len(group), _GROUP)
    ]
