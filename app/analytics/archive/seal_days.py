"""The archive: days older than the retention are sealed, counted a last time, written to files,
checked, and removed.

Rollups live on. Erasures reach the files too: they are rewritten without the erased. `restore.py`
puts days back.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.analytics.archive.days import SETTLED, Beat, archive_day, no_beat
from app.analytics.archive.erased import rewrite_day
from app.analytics.archive.files import DamagedArchiveError
from app.analytics.archive.target import archive_target
from app.analytics.rollup.advance import passes
from app.analytics.rollup.slots import DAY_MS, archived_id, day_start, milliseconds
from app.settings import Settings
from app.web.observability import log
from models.analytics import Analytics
from models.app import App
from models.aside import ROW_FAULTS
from models.base import now
from models.rollup_state import RollupState
from models.seal import ArchivedDay, Seal
from models.session import VisitSession

_KEPT_SESSIONS: Final = timedelta(days=2)
_DAY_FAULTS: Final = (DamagedArchiveError, FileNotFoundError, *ROW_FAULTS)
Progress = Callable[[str, int], Awaitable[None]]
"""Told the day (`<app>/<day>`) and the events done, after each day."""


async def _silent(_: str, __: int) -> None:
    return


async def seal_due(settings: Settings, moment: datetime) -> int:
    """Seal the days that are older than each app's retention: from now on events of theirs are set
    aside.

    Returns:
        How many apps were sealed further.
    """
    sealed = 0
    async for app_id in _apps():
        row = await App.raw().find_one({"_id": app_id}, {"analyticsRetentionDays": 1}) or {}
        days = row.get("analyticsRetentionDays") or settings.analytics_retention_days
        limit = day_start(milliseconds(moment) // DAY_MS - days)
        sealed += await Seal.advance(app_id, limit, moment)
    return sealed


async def _apps() -> AsyncIterator[str]:
    """Every app that has raw events, by skipping through the index."""
    last = ""
    while True:
        where = {"appId": {"$gt": last, "$not": {"$type": "array"}}}  # an index has each of several
        row = await Analytics.raw().find_one(
            where, {"appId": 1}, sort=[("appId", 1), ("timestamp", -1)]
        )
        if row is None:
            return
        last = row["appId"]
        yield last


async def due_days(moment: datetime) -> list[tuple[str, int]]:
    """(App, day) of every sealed day that has raw events, once its seal is known everywhere and all
    is rolled up.

    So are days whose removing was broken off. A day that was restored is none until it is released.
    """
    state, held = await RollupState.read(), await ArchivedDay.find_held()
    found = []
    for seal in await Seal.all_readable():
        if not _is_settled(seal, state, moment):
            continue
        at = datetime(1, 1, 1, tzinfo=UTC)
        while True:
            where = {"appId": seal.id, "timestamp": {"$gte": at, "$lt": seal.sealed_to}}
            row = await Analytics.raw().find_one(where, {"timestamp": 1}, sort=[("timestamp", 1)])
            if row is None:
                break
            day = milliseconds(row["timestamp"]) // DAY_MS
            if archived_id(day, seal.id) not in held:
                found.append((seal.id, day))
            at = day_start(day + 1)
    unfinished = [
        (app_id, milliseconds(day) // DAY_MS) for app_id, day in await ArchivedDay.find_unfinished()
    ]
    return [*found, *(each for each in unfinished if each not in found)]


def _is_settled(seal: Seal, state: RollupState, moment: datetime) -> bool:
    """Whether every process knows a seal, and all that came in before it is rolled up."""
    return seal.updated_at + SETTLED <= moment and seal.updated_at <= state.as_of


@dataclass(frozen=True, slots=True)
class Waiting:
    """An app with events before its seal that cannot be archived yet.

    Attributes:
        app_id: the app.
        sealed_at: when it was sealed so far.
        as_of: up to when the rollups are, where they have not passed the seal; else processes are
            to learn of it.
        until: when it can be archived at the latest; None where no worker seems to move the rollups
            on.
    """

    app_id: str
    sealed_at: datetime
    as_of: datetime | None
    until: datetime | None


async def waiting_apps(trail: timedelta, moment: datetime) -> list[Waiting]:
    """The apps that have something to be archived, but not yet."""
    state, found = await RollupState.read(), list[Waiting]()
    for seal in await Seal.all_readable():
        sealed = {"appId": seal.id, "timestamp": {"$lt": seal.sealed_to}}
        if (
            _is_settled(seal, state, moment)
            or await Analytics.raw().find_one(sealed, {"_id": 1}) is None
        ):
            continue
        known, is_behind = seal.updated_at + SETTLED, state.as_of < seal.updated_at
        passed = await passes(seal.updated_at, trail) if is_behind else known
        until = None if passed is None else max(passed, known)
        found.append(Waiting(seal.id, seal.updated_at, state.as_of if is_behind else None, until))
    return found


async def archive_due(
    settings: Settings,
    progress: Progress = _silent,
    moment: datetime | None = None,
    beat: Beat = no_beat,
) -> int:
    """Archive every day that is due, and remove its raw events.

    Returns:
        How many days; not those at which another process is.

    Raises:
        DamagedArchiveError, FileNotFoundError, KeyError, ...: of a day that is amiss; the other
        days are done.
    """
    done, faults = 0, list[Exception]()
    for app_id, day in await due_days(moment or now()):
        try:
            rows = await archive_day(settings, app_id, day, beat)
        except _DAY_FAULTS as fault:
            faults.append(_told(archived_id(day, app_id), fault))
            continue
        if rows is not None:
            done += 1
            await progress(archived_id(day, app_id), rows)
    await _forget_sessions()
    if faults:
        raise faults[0]
    return done


async def _forget_sessions() -> None:
    """Forget sessions that began before any event that is still in the database, and before the
    seal."""
    for seal in await Seal.all_readable():
        where = {"appId": seal.id, "timestamp": {"$lt": seal.sealed_to}}
        row = await Analytics.raw().find_one(where, {"timestamp": 1}, sort=[("timestamp", 1)])
        before = seal.sealed_to if row is None else row["timestamp"]
        old = {"appId": seal.id, "start": {"$lt": before - _KEPT_SESSIONS}}
        await VisitSession.raw().delete_many(old)


async def rewrite_erased(
    settings: Settings, progress: Progress = _silent, beat: Beat = no_beat
) -> int:
    """Rewrite the files that may hold somebody who was erased since they were last looked at.

    Returns:
        How many events were taken out.

    Raises:
        DamagedArchiveError, FileNotFoundError, KeyError, ...: of a day that is amiss; the other
        days are done.
    """
    archive = archive_target(settings)
    total, faults = 0, list[Exception]()
    names = [row["_id"] async for row in ArchivedDay.raw().find({"_id": {"$gte": ""}}, {"_id": 1})]
    for name in names:
        if (row := await ArchivedDay.raw().find_one({"_id": name})) is None:
            continue
        try:
            taken = await rewrite_day(archive, row, beat)
        except _DAY_FAULTS as fault:
            faults.append(_told(name, fault))
            continue
        total += taken
        await progress(name, taken)
    if faults:
        raise faults[0]
    return total


def _told(name: str, fault: Exception) -> Exception:
    """The fault of a day, after it was told."""
    log.error("a day of the archive is amiss", day=name, error=type(fault).__name__)
    return fault
