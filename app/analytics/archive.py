"""The archive: days older than the retention are sealed, counted a last time, written to files, checked, and removed.

Rollups live on. Erasures reach the files too: they are rewritten without the erased. `restore.py` puts days back.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.analytics.archive_files import SUFFIX, DamagedArchiveError
from app.analytics.archive_target import Target, archive_target
from app.analytics.ledger import Ledger
from app.analytics.property_days import cap_days
from app.analytics.recount import recount_day
from app.analytics.rollup import MovedOnError
from app.analytics.slots import DAY_MS, archived_id, day_start, milliseconds
from app.database import transaction
from app.observability import log
from app.settings import Settings
from models.analytics import Analytics
from models.app import App
from models.aside import ROW_FAULTS
from models.base import Raw, now
from models.erasure import digest_of
from models.rollup_state import RollupState
from models.seal import WRITING, WRITTEN, ArchivedDay, Seal
from models.session import VisitSession

SETTLED: Final = timedelta(seconds=60)
_BATCH: Final = 1000
_TRIES: Final = 5
_KEPT_SESSIONS: Final = timedelta(days=2)
_DAY_FAULTS: Final = (DamagedArchiveError, FileNotFoundError, *ROW_FAULTS)
Progress = Callable[[str, int], Awaitable[None]]
"""Told the day (`<app>/<day>`) and the events done, after each day."""


async def _silent(_: str, __: int) -> None:
    return


async def seal_due(settings: Settings, moment: datetime) -> int:
    """Seal the days that are older than each app's retention: from now on events of theirs are set aside.

    Returns:
        How many apps were sealed further.
    """
    sealed = 0
    async for app_id in _apps():
        row = await App.raw().find_one({"_id": app_id}, {"analyticsRetentionDays": 1}) or {}
        days = row.get("analyticsRetentionDays") or settings.analytics_retention_days
        limit = day_start(milliseconds(moment) // DAY_MS - days)
        former = await Seal.raw().find_one({"_id": app_id})
        if former is None or former["sealedTo"] < limit:
            stamp = {"sealedTo": limit, "updatedAt": moment, "createdAt": moment}
            await Seal.raw().update_one({"_id": app_id}, {"$set": stamp, "$inc": {"version": 1}}, upsert=True)
            sealed += 1
    return sealed


async def _apps() -> AsyncIterator[str]:
    """Every app that has raw events, by skipping through the index."""
    last = ""
    while True:
        where = {"appId": {"$gt": last}}
        row = await Analytics.raw().find_one(where, {"appId": 1}, sort=[("appId", 1), ("timestamp", -1)])
        if row is None:
            return
        last = row["appId"]
        yield last


async def apps_with_events(most: int) -> list[str]:
    """The first apps that have raw events, in order."""
    found: list[str] = []
    async for app_id in _apps():
        found.append(app_id)
        if len(found) == most:
            break
    return found


async def due_days(moment: datetime) -> list[tuple[str, int]]:
    """(App, day) of every sealed day that has raw events, once its seal is known everywhere and all is rolled up.

    A day that was restored is none until it is released.
    """
    state, held = await RollupState.read(), await ArchivedDay.find_held()
    found = []
    async for seal in Seal.raw().find({"_id": {"$gte": ""}}):
        if seal["updatedAt"] + SETTLED > min(moment, state.as_of + SETTLED):
            continue
        at = datetime(1, 1, 1, tzinfo=UTC)
        while True:
            where = {"appId": seal["_id"], "timestamp": {"$gte": at, "$lt": seal["sealedTo"]}}
            row = await Analytics.raw().find_one(where, {"timestamp": 1}, sort=[("timestamp", 1)])
            if row is None:
                break
            day = milliseconds(row["timestamp"]) // DAY_MS
            if archived_id(day, seal["_id"]) not in held:
                found.append((seal["_id"], day))
            at = day_start(day + 1)
    return found


async def archive_due(settings: Settings, progress: Progress = _silent, moment: datetime | None = None) -> int:
    """Archive every day that is due, and remove its raw events.

    Returns:
        How many days; not those at which another process is.

    Raises:
        DamagedArchiveError, FileNotFoundError, KeyError, ...: of a day that is amiss; the other days are done.
    """
    done, faults = 0, list[Exception]()
    for app_id, day in await due_days(moment or now()):
        try:
            rows = await archive_day(settings, app_id, day)
        except _DAY_FAULTS as fault:
            faults.append(_told(archived_id(day, app_id), fault))
            continue
        if rows is not None:
            done += 1
            await progress(archived_id(day, app_id), rows)
    for seal in [row async for row in Seal.raw().find({"_id": {"$gte": ""}})]:
        old = {"appId": seal["_id"], "start": {"$lt": seal["sealedTo"] - _KEPT_SESSIONS}}
        await VisitSession.raw().delete_many(old)
    if faults:
        raise faults[0]
    return done


async def archive_day(settings: Settings, app_id: str, day: int) -> int | None:
    """Count a day a last time, write its file, and only when that was read again remove the events that are in it.

    The day's entry is there before the file, and names it among the leftovers; each step is a compare-and-set. Where
    two processes are at one day, the one that was overtaken removes its own file only, and not one event.
    A day that was archived before and restored has its file already: that is read, and what it has is removed.

    Returns:
        How many events were removed; None where another process is at this day, or a restore holds it.

    Raises:
        DamagedArchiveError: a file is not what was written.
        OSError: the archive could not be written or read.
    """
    archive = archive_target(settings)
    name = archived_id(day, app_id)
    row = await ArchivedDay.raw().find_one({"_id": name})
    if row is not None and row.get("held"):
        return None
    if row is not None and row.get("state") != WRITING:
        ids = await _ids_of_known(archive, row, app_id, day)
    else:
        ids = await _write_first(archive, row, app_id, day)
    if ids is None:
        return None
    removed = 0
    for start in range(0, len(ids), _BATCH):
        taken = await _remove(name, ids[start : start + _BATCH])
        if taken is None:
            return None
        removed += taken
    await cap_days(app_id, day)
    await ArchivedDay.raw().update_one(_free(name), {"$set": {"removed": True, "updatedAt": now()}})
    return removed


def _free(name: str) -> Raw:
    """The filter of a day that no restore holds."""
    return {"_id": name, "held": {"$ne": True}}


async def _remove(name: str, ids: list[Any]) -> int | None:
    """Remove events of a day, in a transaction that conflicts with a restore's hold. None where the day is held."""

    async def work(session: AsyncClientSession) -> int | None:
        still = {"$set": {"updatedAt": now()}}
        if (await ArchivedDay.raw().update_one(_free(name), still, session=session)).matched_count == 0:
            return None
        return (await Analytics.raw().delete_many({"_id": {"$in": ids}}, session=session)).deleted_count

    return await transaction(work)


async def _write_first(archive: Target, row: Raw | None, app_id: str, day: int) -> list[Any] | None:
    """Write the file of a day that has none. The ids of the events in it; None where another process is at this day."""
    name = _fresh_name(app_id, day_start(day))
    if row is None:
        entry = ArchivedDay(
            id=archived_id(day, app_id), app_id=app_id, day=day_start(day), state=WRITING, leftovers=[name]
        )
        try:
            await entry.add()
        except DuplicateKeyError:
            return None
        row = entry.stored()
    elif not await _drop_leftovers(archive, row) or not await _step(row, {"leftovers": [name]}):
        return None
    await _last_recount(app_id, day)
    started = now()
    rows = await Analytics.raw().find(_events_of(app_id, day)).sort("timestamp", 1).to_list()
    if not await _put_in_place(archive, row, name, rows, {"state": WRITTEN, "erasedTo": started - SETTLED}):
        return None
    return [each["_id"] for each in rows]


async def _ids_of_known(archive: Target, row: Raw, app_id: str, day: int) -> list[Any] | None:
    """The ids of the events in the file of a day that was archived before, once the file was found to be whole.

    Events of the day that are not in it are put into it first. None where another process is at this day.
    """
    if not await _drop_leftovers(archive, row):
        return None
    rows = await _read(archive, row)
    if rows is None:
        return None
    ids = {each["_id"] for each in rows}
    stored = await Analytics.raw().find(_events_of(app_id, day)).to_list()
    if beyond := [each for each in stored if each["_id"] not in ids]:
        if not await _replace(archive, row, rows + beyond, {}):
            return None
        ids |= {each["_id"] for each in beyond}
    return [each["_id"] for each in stored if each["_id"] in ids]


def _events_of(app_id: str, day: int) -> Raw:
    return {"appId": app_id, "timestamp": {"$gte": day_start(day), "$lt": day_start(day + 1)}}


async def _last_recount(app_id: str, day: int) -> None:
    for attempt in range(_TRIES):
        try:
            await recount_day(app_id, day)
        except MovedOnError:
            if attempt == _TRIES - 1:
                raise
        else:
            return


async def rewrite_erased(settings: Settings, progress: Progress = _silent) -> int:
    """Rewrite the files that may hold somebody who was erased since they were last looked at.

    Returns:
        How many events were taken out.

    Raises:
        DamagedArchiveError, FileNotFoundError, KeyError, ...: of a day that is amiss; the other days are done.
    """
    archive = archive_target(settings)
    total, faults = 0, list[Exception]()
    async for row in ArchivedDay.raw().find({"_id": {"$gte": ""}}):
        try:
            taken = await _rewrite_day(archive, row)
        except _DAY_FAULTS as fault:
            faults.append(_told(row["_id"], fault))
            continue
        total += taken
        await progress(row["_id"], taken)
    if faults:
        raise faults[0]
    return total


def _told(name: str, fault: Exception) -> Exception:
    """The fault of a day, after it was told."""
    log.error("a day of the archive is amiss", day=name, error=type(fault).__name__)
    return fault


async def _rewrite_day(archive: Target, row: Raw) -> int:
    """Rewrite one day's file, if it has to be. How many events were taken out."""
    if row.get("state") == WRITING:
        await _drop_unfinished(archive, row)
        return 0
    if not await _drop_leftovers(archive, row):
        return 0
    started = now()
    erased = await Ledger.since(row.get("erasedTo"))
    if erased.empty:
        return 0
    rows = await _read(archive, row)
    if rows is None:
        return 0
    kept = list(erased.left_of(rows))
    looked: Raw = {"erasedTo": started - SETTLED}
    if len(kept) == len(rows):
        await _step(row, looked)
        return 0
    return len(rows) - len(kept) if await _replace(archive, row, kept, looked) else 0


async def _drop_unfinished(archive: Target, row: Raw) -> None:
    """Remove what is left of an archiving that died, where the day has no events any more.

    Where it has some, the next archiving goes on with it.
    """
    day = milliseconds(row["day"]) // DAY_MS
    one = await Analytics.raw().find_one(_events_of(row["appId"], day), {"_id": 1})
    if one is None and await _drop_leftovers(archive, row):
        await ArchivedDay.raw().delete_one({"_id": row["_id"], "version": row["version"]})


async def _read(archive: Target, row: Raw) -> list[Raw] | None:
    """The events of a day's file; None where another process has replaced it meanwhile."""
    try:
        return await asyncio.to_thread(archive.read, row["file"], row["sha256"])
    except FileNotFoundError:
        if await _step(row, {}):
            raise
        return None


async def _replace(archive: Target, row: Raw, rows: list[Raw], fields: Raw) -> bool:
    """Give a day another file. False where another process is at this day.

    The former file stays whole until the new one is noted. Whichever is not in use is among the leftovers before it may
    be one, and each step is a compare-and-set: where another process is at the same day, one of the two steps back.
    """
    former, name = row["file"], _fresh_name(row["appId"], row["day"])
    if not await _step(row, {"leftovers": [name]}):
        return False
    if not await _put_in_place(archive, row, name, rows, {**fields, "leftovers": [former]}):
        return False
    await _drop_leftovers(archive, row)
    return True


async def _put_in_place(archive: Target, row: Raw, name: str, rows: list[Raw], fields: Raw) -> bool:
    """Write a file that is noted as a leftover, and note it as the day's. False where another process is at it."""
    try:
        written = await asyncio.to_thread(archive.write, name, rows)
    except (DamagedArchiveError, OSError):
        if await _step(row, {}):
            raise
        return False  # whoever has the day now may have removed it as a leftover
    told = {"file": name, "rows": written.rows, "bytes": written.bytes, "sha256": written.sha256}
    if await _step(row, {"leftovers": [], **fields, **told}):
        return True
    await asyncio.to_thread(archive.remove, name)
    return False


async def _drop_leftovers(archive: Target, row: Raw) -> bool:
    """Remove files that were replaced, or whose writing was not finished. False where another process is at it."""
    if not row.get("leftovers"):
        return True
    if not await _step(row, {}):
        return False
    for name in row["leftovers"]:
        await asyncio.to_thread(archive.remove, name)
    return await _step(row, {"leftovers": []})


async def _step(row: Raw, fields: Raw) -> bool:
    """Change a day's entry, in `row` too, if it is still the one that was read."""
    change = {"$set": {**fields, "updatedAt": now()}, "$inc": {"version": 1}}
    result = await ArchivedDay.raw().update_one({"_id": row["_id"], "version": row["version"]}, change)
    row |= {**fields, "version": row["version"] + 1}
    return result.matched_count == 1


def _fresh_name(app_id: str, day: datetime) -> str:
    """A path that no file had yet: app ids may hold what file systems do not like."""
    folder = f"{re.sub(r'[^A-Za-z0-9._-]', '_', app_id)}-{digest_of(app_id)[:8]}"
    return f"{folder}/{day:%Y-%m-%d}~{ObjectId()}{SUFFIX}"
