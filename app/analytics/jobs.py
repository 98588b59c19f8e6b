"""What the worker does for analytics: rollups go forward, joins are carried out, days recounted,
old ones archived."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from app.analytics.archive.seal_days import archive_due, rewrite_erased, seal_due
from app.analytics.rollup.advance import WINDOW, MovedOnError, advance, due_next
from app.analytics.rollup.joins import carry_out_joins, settle_merges
from app.analytics.rollup.property_days import due_days
from app.analytics.rollup.recount import Found, days_touched, recount_day
from app.analytics.rollup.undo import UNDO, undo_joins
from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.settings import Settings
from app.web.observability import log
from models.aside import ROW_FAULTS
from models.base import now
from models.deletion import Deletion
from models.erasure import Erasure
from models.rollup_state import RollupState
from models.seal import ArchivedDay, Seal

_ROLL_UP: Final = "roll-up-analytics"
_RECOUNT: Final = "recount-analytics"
_FORGET: Final = "forget-numbers"
_ARCHIVE: Final = "archive-analytics"
_SINCE: Final = timedelta(hours=26)  # a night and what the one before may have missed
_LEDGER: Final = timedelta(days=40)
_TRIES: Final = 5
_FULL: Final = 4  # of a window, since one is smaller where properties are declared
_REST: Final = 4.0
"""How many times as long as it worked a worker that keeps up lets requests go first: what a pass
costs depends on the days and names that it touches, hardly on its events."""
_LONGEST_REST: Final = 5.0
_SHOWN: Final = 100
PERIODIC: Final = {_ROLL_UP: 60.0, _RECOUNT: 86_400.0, _FORGET: 3_600.0, _ARCHIVE: 3_600.0}
WOKEN: Final[Mapping[str, tuple[Watched, ...]]] = {}
PLACES: Final[Mapping[str, int]] = {}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""
    trail = timedelta(seconds=settings.analytics_trail_seconds)

    async def roll_up(claim: Claim) -> datetime | None:
        """Bring the rollups forward as far as they may go."""
        total = 0
        while True:
            joined = await carry_out_joins(most=settings.analytics_most_joined_ids)
            if not joined and (following := await due_next(trail)) > now():
                return following
            began = time.perf_counter()
            added = await _advance(trail)
            total += added
            await claim.renew(added=total)
            if added < WINDOW // _FULL and not joined:
                rest = min(_REST * (time.perf_counter() - began), _LONGEST_REST)
                return max(await due_next(trail), now() + timedelta(seconds=rest))

    async def recount(claim: Claim) -> None:
        """Count the days anew that got events lately, and say what differed; settle who turned out
        to be whom."""
        async with claim.kept():  # a large day may take longer than a lease
            report = await recount_lately(claim)
        settled = await settle_merges()
        fence = claim.job.fence
        summary: dict[str, Any] = {**report, "settledNumbers": settled, "at": now(), "fence": fence}
        where = {
            "_id": "rollups",
            "lastRecount.fence": {"$not": {"$gt": fence}},
        }  # else a later one has told already
        await RollupState.raw().update_one(where, {"$set": {"lastRecount": summary}})
        log.info("analytics recounted", **report, settled=settled)

    async def undo(claim: Claim) -> None:
        """Take back the joins that are to be."""
        async with claim.kept():  # a day may take longer than a lease
            await undo_joins(claim.renew)

    async def forget(claim: Claim) -> None:
        """Drop the numbers of erased people from the ledger once their erasure is final."""
        where = {"at": {"$gte": now() - _LEDGER}, "numbers.0": {"$exists": True}}
        rows = await Erasure.raw().find(where, {"_id": 1}).to_list()
        final = Deletion.raw().find(
            {"_id": {"$in": [row["_id"] for row in rows]}, "final": True}, {"_id": 1}
        )
        ids = [row["_id"] async for row in final]
        await Erasure.raw().update_many({"_id": {"$in": ids}}, {"$set": {"numbers": []}})
        await claim.renew(forgotten=len(ids))

    async def archive(claim: Claim) -> None:
        """Where there is an archive: seal, archive and remove days that are over, take the erased
        out of files."""
        if settings.analytics_archive is None:
            return

        async def done(name: str, events: int) -> None:
            await claim.renew(day=name, events=events)

        await seal_due(settings, now())
        async with claim.kept():  # a file may take longer than a lease
            await archive_due(settings, done, beat=claim.renew)
            await rewrite_erased(settings, done, beat=claim.renew)
        await claim.renew(heldDays=sorted(await ArchivedDay.find_held())[:_SHOWN])

    return {_ROLL_UP: roll_up, _RECOUNT: recount, UNDO: undo, _FORGET: forget, _ARCHIVE: archive}


async def _advance(trail: timedelta) -> int:
    for _ in range(_TRIES):
        try:
            return await advance(trail)
        except MovedOnError:
            continue
    return 0


async def recount_lately(claim: Claim | None = None) -> dict[str, Any]:
    """Recount every day that got events in the last hours, or is due, and is not sealed.

    Returns:
        `{"days", "events", "mended": {collection: documents}}`, and `failed`, where days could not
        be.
    """
    seals = await Seal.by_app()
    mended: dict[str, int] = {}
    days = events = failed = 0
    for app_id, day in sorted({*await days_touched(now() - _SINCE), *await due_days()}):
        sealed_to = seals.get(app_id)
        if sealed_to is not None and day * 86_400 < sealed_to.timestamp():
            continue
        try:
            found = await _recount(app_id, day)
        except (MovedOnError, *ROW_FAULTS) as error:
            log.error(
                "a day could not be recounted", app=app_id, day=day, error=type(error).__name__
            )
            failed += 1
            continue
        days, events = days + 1, events + found.events
        for name, count in found.mended.items():
            mended[name] = mended.get(name, 0) + count
        if found.mended:
            log.warning(
                "rollups differed from the events", app=app_id, day=day, mended=found.mended
            )
        if claim is not None:
            await claim.renew(days=days)
    return {
        "days": days,
        "events": events,
        "mended": mended,
        **({"failed": failed} if failed else {}),
    }


async def _recount(app_id: str, day: int) -> Found:
    for _ in range(_TRIES):
        try:
            return await recount_day(app_id, day)
        except MovedOnError:
            continue
    raise MovedOnError
