"""What is to be done once a database was restored, before anybody may use it.

What was deleted or revoked after the backup is there again: the ledger outside says what, and it
goes (`app.recovery.replay`). What people hold from before means something else now: versions,
ETags, cursors, sessions, codes. So versions are raised beyond any that was given out, sessions and
codes end, and the epoch is a new one, which makes every ETag and cursor new. Each step can be taken
again: one that was killed begins anew. The epoch comes last, and with it the database is ready.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from app.errors.sentences import Telling
from app.ledger import Ledger, Position
from app.recovery.manifest import Manifest, stamp
from app.recovery.replay import replay
from app.relations import audit
from app.relations.hooks import Hooks
from app.relations.living_roots import check_living
from app.settings import Settings
from models import DOCUMENTS, PhoneOtp, RefreshToken, User
from models.base import Raw, now
from models.deployment import Deployment
from models.integrity import IntegrityScan

RAISED: Final = tuple(document for document in DOCUMENTS if document.GUARDED)
"""The collections whose versions clients send back to guard a write."""
RAISE: Final = 1_000_000
"""More than any document is changed between a backup and the day that it is needed."""

Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Report:
    """What was done: counts by what they are of, the epoch's number, what the integrity check
    found."""

    counts: dict[str, int]
    epoch: int
    scans: list[IntegrityScan]

    @property
    def is_sound(self) -> bool:
        """Whether the integrity check found no fault."""
        return not any(each.orphans or each.mismatches or each.living for each in self.scans)


class ForgottenError(Telling):
    """The ledger has forgotten what was deleted after a backup."""


def check_ledger(settings: Settings, manifest: Manifest) -> None:
    """See that the ledger remembers all that came after a backup. Blocks.

    Raises:
        ForgottenError: it was compacted, and the backup is older than the oldest that was kept.
        OSError: the ledger could not be read.
    """
    known_from = Ledger.of(settings).remembers_from()
    if known_from is not None and manifest.moment < known_from:
        raise ForgottenError(
            f"the backup is of {manifest.at}, and the ledger was compacted to what came after"
            f" {stamp(known_from)}: what was deleted between would be back (--forgotten restores it"
            " all the same)"
        )


async def finish_restore(settings: Settings, hooks: Hooks, tell: Tell = lambda _: None) -> Report:
    """Take every step, and let servers use the database.

    Raises:
        DamagedLedgerError, OSError: the ledger of deletions cannot be read. Nothing is ready.
    """
    ledger = Ledger.of(settings)
    position = await asyncio.to_thread(ledger.position)
    await Deployment.mark_restoring("")
    counts = dict(await replay(settings, hooks, tell))
    tell("ending sessions and codes")
    counts |= await _end_sessions()
    tell("raising versions")
    counts["documents whose version was raised"] = await _raise_versions()
    tell("checking every relation")
    scans = [*await audit.check(restart=True), await check_living()]
    epoch = await Deployment.begin_epoch(position.epoch + 1, position.number)
    await asyncio.to_thread(ledger.mark, Position(*await Deployment.position()))
    return Report(counts, epoch, scans)


async def _end_sessions() -> dict[str, int]:
    """End every session, every code, and every token that a server asked for."""
    sessions = await RefreshToken.raw().delete_many({})
    codes = await PhoneOtp.raw().delete_many({})
    ended: Any = {"$set": {"sessionsEndedAt": now()}}
    people = await User.raw().update_many({}, ended)
    return {
        "sessions ended": sessions.deleted_count,
        "codes ended": codes.deleted_count,
        "people whose tokens ended": people.modified_count,
    }


async def _raise_versions() -> int:
    """Raise every version, and the one from which a person's new keys count on."""
    total = 0
    await User.raw().update_many(_countable("versionFloor"), {"$inc": {"versionFloor": RAISE}})
    for document in RAISED:
        raised = {"$inc": {"version": RAISE}}
        result = await document.raw().update_many(_countable("version"), raised)
        total += result.modified_count
    return total


def _countable(name: str) -> Raw:
    """The filter of what can be raised: a damaged one is no version that anybody holds."""
    return {"$or": [{name: {"$type": "number"}}, {name: {"$exists": False}}]}
