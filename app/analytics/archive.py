"""The archive: days older than the retention are sealed, counted a last time, written to files, checked, and removed.

Rollups live on. Erasures reach the files too: they are rewritten without the erased, and a restore leaves them out.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import ObjectId

from app.analytics.archive_files import SUFFIX
from app.analytics.archive_target import Target, archive_target
from app.analytics.deletion import digest_of
from app.analytics.people import guard_users
from app.analytics.recount import recount_day
from app.analytics.rollup import MovedOnError
from app.analytics.slots import DAY_MS, day_name, day_start, milliseconds
from app.database import transaction
from app.settings import Settings
from models.analytics import Analytics
from models.app import App
from models.base import Raw, now
from models.erasure import Erasure
from models.person import person_key
from models.rollup_state import RollupState
from models.seal import ArchivedDay, Seal
from models.session import VisitSession

SETTLED: Final = timedelta(seconds=60)
_BATCH: Final = 1000
_TRIES: Final = 5
_KEPT_SESSIONS: Final = timedelta(days=2)
Progress = Callable[[str, int], Awaitable[None]]
"""Told the file and the events done, after each day."""


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
    """(App, day) of every sealed day that has raw events, once its seal is known everywhere and all is rolled up."""
    state = await RollupState.read()
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
            found.append((seal["_id"], day))
            at = day_start(day + 1)
    return found


async def archive_due(settings: Settings, progress: Progress = _silent, moment: datetime | None = None) -> int:
    """Archive every day that is due, and remove its raw events.

    Returns:
        How many days.
    """
    days = await due_days(moment or now())
    for app_id, day in days:
        rows = await archive_day(settings, app_id, day)
        await progress(_name(app_id, day), rows)
    for seal in [row async for row in Seal.raw().find({"_id": {"$gte": ""}})]:
        old = {"appId": seal["_id"], "start": {"$lt": seal["sealedTo"] - _KEPT_SESSIONS}}
        await VisitSession.raw().delete_many(old)
    return len(days)


async def archive_day(settings: Settings, app_id: str, day: int) -> int:
    """Count a day a last time, write its file, and only when that was read again remove the events.

    A day that was archived before and restored has its file already; its events are removed.

    Returns:
        How many events.
    """
    archive = archive_target(settings)
    name = f"{app_id}/{day_name(day)}"
    where = {"appId": app_id, "timestamp": {"$gte": day_start(day), "$lt": day_start(day + 1)}}
    known = await ArchivedDay.raw().find_one({"_id": name})
    if known is None:
        await _last_recount(app_id, day)
        started = now()
        rows = await Analytics.raw().find(where).sort("timestamp", 1).to_list()
        written = await asyncio.to_thread(archive.write, _name(app_id, day), rows)
        await ArchivedDay(
            id=name,
            app_id=app_id,
            day=day_start(day),
            file=written.name,
            rows=written.rows,
            bytes=written.bytes,
            sha256=written.sha256,
            erased_to=started - SETTLED,
        ).add()
    removed = 0
    while ids := [row["_id"] async for row in Analytics.raw().find(where, {"_id": 1}).limit(_BATCH)]:
        removed += (await Analytics.raw().delete_many({"_id": {"$in": ids}})).deleted_count
    await ArchivedDay.raw().update_one({"_id": name}, {"$set": {"removed": True, "updatedAt": now()}})
    return removed


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
    """
    archive = archive_target(settings)
    total = 0
    async for row in ArchivedDay.raw().find({"_id": {"$gte": ""}}):
        taken = await _rewrite_day(archive, row)
        total += taken
        await progress(row["file"], taken)
    return total


async def _rewrite_day(archive: Target, row: Raw) -> int:
    """Rewrite one day's file, if it has to be. How many events were taken out.

    The former file stays whole until the new one is noted. Whichever is not in use is among the leftovers before it may
    be one, and each step is a compare-and-set: where another process is at the same day, one of the two steps back.
    """
    if not await _drop_leftovers(archive, row):
        return 0
    started = now()
    erased = await Ledger.since(row.get("erasedTo"))
    if erased.empty:
        return 0
    rows = await asyncio.to_thread(archive.read, row["file"], row["sha256"])
    kept = list(erased.left_of(rows))
    looked: Raw = {"erasedTo": started - SETTLED}
    if len(kept) == len(rows):
        await _step(row, looked)
        return 0
    former = row["file"]
    name = f"{former.removesuffix(SUFFIX).split('~')[0]}~{ObjectId()}{SUFFIX}"
    if not await _step(row, {"leftovers": [name]}):
        return 0
    written = await asyncio.to_thread(archive.write, name, kept)
    told = {"file": name, "rows": written.rows, "bytes": written.bytes, "sha256": written.sha256}
    if not await _step(row, {**looked, **told, "leftovers": [former]}):
        await asyncio.to_thread(archive.remove, name)
        return 0
    await _drop_leftovers(archive, row)
    return len(rows) - len(kept)


async def _drop_leftovers(archive: Target, row: Raw) -> bool:
    """Remove files that a rewriting has replaced, or has not finished. False where another process is at this day."""
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


async def restore_day(settings: Settings, app_id: str, day: str) -> tuple[int, int]:
    """Put a day's events back from its file, without those of the erased. Rollups have them already, and do not change.

    Returns:
        How many were put back, and how many were left out.

    Raises:
        KeyError: there is no archive of this day.
        DamagedArchiveError: the file is not what was written.
    """
    row = await ArchivedDay.raw().find_one({"_id": f"{app_id}/{day}"})
    if row is None:
        raise KeyError(f"{app_id} has no archive of {day}")
    ledger = await Ledger.since(None)
    rows = await asyncio.to_thread(archive_target(settings).read, row["file"], row["sha256"])
    kept = list(ledger.left_of(rows))
    restored = 0
    for start in range(0, len(kept), _BATCH):
        restored += await _restore(kept[start : start + _BATCH])
    await ArchivedDay.raw().update_one({"_id": row["_id"]}, {"$set": {"removed": False, "updatedAt": now()}})
    return restored, len(rows) - restored


async def _restore(rows: list[Raw]) -> int:
    """Insert events that are not there, of users who are, in a transaction that conflicts with their deletion."""

    async def work(session: Any) -> int:
        ids = [row["_id"] for row in rows]
        present = {row["_id"] async for row in Analytics.raw().find({"_id": {"$in": ids}}, {"_id": 1}, session=session)}
        living = await guard_users({row["userId"] for row in rows if row.get("userId") is not None}, session)
        fresh = [row for row in rows if row["_id"] not in present and row.get("userId") in (None, *living)]
        if fresh:
            await Analytics.raw().insert_many(fresh, ordered=False, session=session)
        return len(fresh)

    return await transaction(work)


class Ledger:
    """Who was erased: users by id, anonymous and external ids by digest."""

    def __init__(self, users: set[ObjectId], digests: set[str]) -> None:
        self.users = users
        self.digests = digests

    @classmethod
    async def since(cls, moment: datetime | None) -> "Ledger":
        """The erasures since a moment; all of them for None."""
        where: Raw = {"at": {"$gte": moment or datetime(1970, 1, 1, tzinfo=UTC)}}
        rows = await Erasure.raw().find(where, {"digests": 1}).to_list()
        return cls({row["_id"] for row in rows}, {each for row in rows for each in row.get("digests", [])})

    @property
    def empty(self) -> bool:
        """Whether nobody was."""
        return not self.users

    def left_of(self, rows: Iterable[Raw]) -> Iterator[Raw]:
        """The events of those who were not erased."""
        for row in rows:
            key = person_key(row)
            named = row.get("userId") in self.users
            if not named and (key is None or digest_of(key) not in self.digests):
                yield row


def _name(app_id: str, day: int) -> str:
    """The file's path: app ids may hold what file systems do not like."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', app_id)}-{digest_of(app_id)[:8]}/{day_name(day)}{SUFFIX}"
