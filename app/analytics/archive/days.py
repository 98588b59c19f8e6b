"""One day into the archive: counted a last time, written part by part, and only then removed, part
by part.

Wherever a process dies, the next one goes on behind the last part that is noted.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.analytics.archive.entry import (
    BATCH,
    drop_leftovers,
    events_of,
    has_events,
    parts_of,
    put_in_place,
    read_part,
    step,
    with_part,
    with_parts,
)
from app.analytics.archive.files import unpack_ids
from app.analytics.archive.target import Target, archive_target
from app.analytics.rollup.advance import MovedOnError
from app.analytics.rollup.property_days import cap_days
from app.analytics.rollup.recount import recount_day
from app.analytics.rollup.slots import DAY_MS, archived_id, day_start, milliseconds
from app.database import transaction
from app.settings import Settings
from models.analytics import Analytics
from models.base import Raw, now
from models.seal import NONE, SOME, WRITING, WRITTEN, ArchivedDay

SETTLED: Final = timedelta(seconds=60)
PART_EVENTS: Final = 50_000
PART_BYTES: Final = 64 * 1024 * 1024
_TRIES: Final = 5
_TICK: Final = timedelta(milliseconds=1)
ANY_TIME: Final[CodecOptions[Raw]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
Beat = Callable[[], Awaitable[None]]
"""Called after each part."""


async def no_beat() -> None:
    """Nothing is to be done after a part."""


async def archive_day(
    settings: Settings, app_id: str, day: int, beat: Beat = no_beat
) -> int | None:
    """Count a day a last time, write its files, and only when each was read again remove the events
    that are in them.

    The day's entry is there before any file, and names each among the leftovers first; each step is
    a compare-and-set. Where two processes are at one day, the one that was overtaken removes its
    own file only, and not one event. A day that was archived before has its files already: what
    they have is removed, and what they lack is added first.

    Returns:
        How many events were removed; None where another process is at this day, or a restore holds
        it.

    Raises:
        DamagedArchiveError: a file is not what was written.
        OSError: the archive could not be written or read.
    """
    archive = archive_target(settings)
    row = await _entry_of(app_id, day)
    if row is None or row.get("held") or not await drop_leftovers(archive, row):
        return None
    if row.get("state") == WRITING and not await _write_first(archive, row, beat):
        return None
    return await _remove_all(archive, row, beat)


async def _entry_of(app_id: str, day: int) -> Raw | None:
    """The entry of a day, made where there is none; None where another process makes it."""
    name = archived_id(day, app_id)
    if (row := await ArchivedDay.raw().find_one({"_id": name})) is not None:
        return row
    entry = ArchivedDay(id=name, app_id=app_id, day=day_start(day), state=WRITING)
    try:
        await entry.add()
    except DuplicateKeyError:
        return None
    return entry.stored()


async def _write_first(archive: Target, row: Raw, beat: Beat) -> bool:
    """Write what a day lacks of its files, and have it written. False where another process is at
    this day."""
    if not row.get("counted"):
        await _last_recount(row["appId"], milliseconds(row["day"]) // DAY_MS)
        if not await step(row, {"counted": True}):
            return False
    return await _write_parts(archive, row, row.get("after"), beat) and await step(
        row, {"state": WRITTEN}
    )


async def _last_recount(app_id: str, day: int) -> None:
    for attempt in range(_TRIES):
        try:
            await recount_day(app_id, day)
        except MovedOnError:
            if attempt == _TRIES - 1:
                raise
        else:
            return


async def _write_parts(archive: Target, row: Raw, after: Raw | None, beat: Beat) -> bool:
    """Write the events behind a place to files. False where another process is at this day."""
    while True:
        erased_to = now() - SETTLED
        batches = _Rest(await _next_events(row, after))
        if not await batches.look():
            return True

        def noted(part: Raw, last: Raw, erased_to: datetime = erased_to) -> Raw:
            place = {"timestamp": last["timestamp"], "id": last["_id"]}
            return {**with_parts([*parts_of(row), {**part, "erasedTo": erased_to}]), "after": place}

        if not await put_in_place(archive, row, batches, PART_BYTES, noted):
            return False
        after = row["after"]
        await beat()


class _Rest(AsyncIterator[list[Raw]]):
    """What a cursor has, batch by batch; whether there is anything is known before it is taken."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        self.first: list[Raw] | None = None

    async def look(self) -> bool:
        """Whether there is anything."""
        self.first = await self.cursor.to_list(BATCH)
        return bool(self.first)

    async def __anext__(self) -> list[Raw]:
        batch, self.first = self.first or await self.cursor.to_list(BATCH), None
        if not batch:
            raise StopAsyncIteration
        return batch


async def _next_events(row: Raw, after: Raw | None) -> Any:
    """The events of a day behind a place, in the order of time and id, as many as a file takes.

    Where they end is read from the index, so that the database sorts no more than these.
    """
    where = events_of(row)
    events = Analytics.raw().with_options(ANY_TIME)
    span: Raw = where["timestamp"]
    beyond = {**where, "timestamp": span if after is None else {**span, "$gt": after["timestamp"]}}
    order = [("timestamp", 1)]
    keys = (
        events.find(beyond, {"_id": 0, "timestamp": 1}).sort(order).skip(PART_EVENTS - 1).limit(1)
    )
    ends = await keys.to_list()
    upper = ends[0]["timestamp"] if ends else span["$lt"] - _TICK
    chosen = {
        **where,
        "timestamp": {"$gte": span["$gte"] if after is None else after["timestamp"], "$lte": upper},
    }
    if after is not None:
        chosen["$nor"] = [{"timestamp": after["timestamp"], "_id": {"$lte": after["id"]}}]
    found = events.find(chosen, batch_size=BATCH).sort([*order, ("_id", 1)]).limit(PART_EVENTS)
    return found.allow_disk_use(True)


async def _remove_all(archive: Target, row: Raw, beat: Beat) -> int | None:
    """Remove a day's events that are in its files, and those that are not once they are. None where
    it is not ours."""
    removed = 0
    for number, part in enumerate(parts_of(row)):
        if part["stored"] != NONE:
            taken = await _remove_part(archive, row, number, beat)
            if taken is None:
                return None
            removed += taken
    while await has_events(row):
        taken = await _remove_rest(archive, row, beat)
        if taken is None:
            return None
        removed += taken
    await cap_days(row["appId"], milliseconds(row["day"]) // DAY_MS)
    return removed if await step(row, {"removed": True}) else None


async def _remove_rest(archive: Target, row: Raw, beat: Beat) -> int | None:
    """Remove events that came after their part was gone: those that a file has, and the others once
    one has them."""
    removed = 0
    for number in range(len(parts_of(row))):
        taken = await _remove_part(archive, row, number, beat)
        if taken is None:
            return None
        removed += taken
    known = len(parts_of(row))
    if not await _write_parts(archive, row, None, beat):
        return None
    for number in range(known, len(parts_of(row))):
        taken = await _remove_part(archive, row, number, beat)
        if taken is None:
            return None
        removed += taken
    return removed


async def _remove_part(archive: Target, row: Raw, number: int, beat: Beat) -> int | None:
    """Remove the events that are in a part, whose checksum is right. None where another process is
    at this day."""
    if not await step(row, {**with_part(row, number, stored=SOME), "removed": False}):
        return None
    removed = 0
    try:
        async for ids in read_part(archive, parts_of(row)[number], unpack_ids):
            taken = await _remove(row["_id"], ids)
            if taken is None:
                return None
            removed += taken
    except FileNotFoundError:
        if await step(row, {}):
            raise
        return None  # another process has replaced it
    await beat()
    return removed if await step(row, with_part(row, number, stored=NONE)) else None


async def _remove(name: str, ids: list[Any]) -> int | None:
    """Remove events of a day, in a transaction that conflicts with a restore's hold. None where the
    day is held."""

    async def work(session: AsyncClientSession) -> int | None:
        still = {"$set": {"updatedAt": now()}}
        free = {"_id": name, "held": {"$ne": True}}
        if (await ArchivedDay.raw().update_one(free, still, session=session)).matched_count == 0:
            return None
        return (
            await Analytics.raw().delete_many({"_id": {"$in": ids}}, session=session)
        ).deleted_count

    return await transaction(work)
