"""A day's entry in the list of what is archived: its steps, each a compare-and-set, and the files
that it names."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO, Final, TypeVar

from bson import ObjectId

from app.analytics.archive.files import SUFFIX, DamagedArchiveError
from app.analytics.archive.target import Target, Writing
from app.analytics.rollup.slots import DAY_MS, day_start, milliseconds
from models.analytics import Analytics
from models.base import Raw, now
from models.erasure import digest_of
from models.seal import ALL, NONE, SOME, ArchivedDay

BATCH: Final = 1000
"""How many events are in memory at once."""
T = TypeVar("T")


def parts_of(row: Raw) -> list[Raw]:
    """The parts of a day; one of the former form has one."""
    if "parts" in row or "file" not in row:
        return list(row.get("parts", []))
    part = {name: row[name] for name in ("file", "rows", "bytes", "sha256")}
    return [
        {**part, "stored": NONE if row.get("removed") else SOME, "erasedTo": row.get("erasedTo")}
    ]


def with_part(row: Raw, number: int, **fields: Any) -> Raw:
    """The fields of a day in which one part has these fields."""
    parts = parts_of(row)
    return with_parts([*parts[:number], {**parts[number], **fields}, *parts[number + 1 :]])


def with_parts(parts: list[Raw]) -> Raw:
    """The fields of a day that has these parts."""
    return {
        "parts": parts,
        "rows": sum(each["rows"] for each in parts),
        "bytes": sum(each["bytes"] for each in parts),
    }


def events_of(row: Raw) -> Raw:
    """The filter of a day's events."""
    day = milliseconds(row["day"]) // DAY_MS
    return {"appId": row["appId"], "timestamp": {"$gte": day_start(day), "$lt": day_start(day + 1)}}


async def has_events(row: Raw) -> bool:
    """Whether there are events of a day in the database."""
    return await Analytics.raw().find_one(events_of(row), {"_id": 1}) is not None


async def step(row: Raw, fields: Raw) -> bool:
    """Change a day's entry, in `row` too, if it is still the one that was read."""
    change: dict[str, Any] = {"$set": {**fields, "updatedAt": now()}, "$inc": {"version": 1}}
    if "parts" in fields:
        change["$unset"] = {"file": "", "sha256": "", "erasedTo": ""}  # of the former form
    result = await ArchivedDay.raw().update_one(
        {"_id": row["_id"], "version": row["version"]}, change
    )
    row |= {**fields, "version": row["version"] + 1}
    return result.matched_count == 1


async def drop_leftovers(archive: Target, row: Raw) -> bool:
    """Remove files that were replaced, or whose writing was not finished. False where another
    process is at it."""
    if not row.get("leftovers"):
        return True
    if not await step(row, {}):
        return False
    for name in row["leftovers"]:
        await asyncio.to_thread(archive.remove, name)
    return await step(row, {"leftovers": []})


async def put_in_place(
    archive: Target,
    row: Raw,
    batches: AsyncIterator[list[Raw]],
    most: int,
    place: Callable[[Raw, Raw], Raw],
) -> bool:
    """Write a file that is noted as a leftover before there is anything of it, and then as a part
    of the day.

    Args:
        archive: where.
        row: the day's entry.
        batches: the events.
        most: after about how many bytes the file ends, though there are more.
        place: of the new part and its last event what the entry says then.

    Returns:
        False where another process is at this day.

    Raises:
        DamagedArchiveError: the file is not what was written.
        OSError: it could not be written.
    """
    name = _fresh_name(row["appId"], row["day"])
    if not await step(row, {"leftovers": [name]}):
        return False
    try:
        part, last = await _written(archive, name, batches, most)
    except (DamagedArchiveError, OSError):
        if await step(row, {}):
            raise
        return False  # whoever has the day now may have removed it as a leftover
    if await step(row, {"leftovers": [], **place(part, last)}):
        return True
    await asyncio.to_thread(archive.remove, name)
    return False


async def _written(
    archive: Target, name: str, batches: AsyncIterator[list[Raw]], most: int
) -> tuple[Raw, Raw]:
    writing: Writing = await asyncio.to_thread(archive.begin, name)
    last: Raw = {}
    try:
        async for batch in batches:
            size = await asyncio.to_thread(writing.add, batch)
            last = batch[-1]
            if size >= most:
                break
        written = await asyncio.to_thread(writing.finish)
    finally:
        await asyncio.to_thread(writing.abandon)
    told = {"rows": written.rows, "bytes": written.bytes, "sha256": written.sha256}
    return {"file": name, **told, "stored": ALL}, last


async def read_part(
    archive: Target, part: Raw, unpack: Callable[[BinaryIO, str, str], Iterator[T]]
) -> AsyncIterator[list[T]]:
    """The events of a part, or their ids, batch by batch; the checksum was right before the first
    one comes.

    Raises:
        DamagedArchiveError: the file is not what was written.
        FileNotFoundError: it is not there.
    """
    found = archive.read(part["file"], part["sha256"], unpack)
    while batch := await asyncio.to_thread(lambda: list(islice(found, BATCH))):
        yield batch


def _fresh_name(app_id: str, day: datetime) -> str:
    """A path that no file had yet: app ids may hold what file systems do not like."""
    folder = f"{re.sub(r'[^A-Za-z0-9._-]', '_', app_id)}-{digest_of(app_id)[:8]}"
    return f"{folder}/{day:%Y-%m-%d}~{ObjectId()}{SUFFIX}"
