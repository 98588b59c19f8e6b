"""Erasures reach the archive: files that may hold somebody who was erased are read, and rewritten
without them."""

from collections.abc import AsyncIterator
from datetime import datetime

from app.analytics.archive.days import SETTLED, Beat
from app.analytics.archive.entry import (
    drop_leftovers,
    has_events,
    parts_of,
    put_in_place,
    read_part,
    step,
    with_parts,
)
from app.analytics.archive.files import unpack_rows
from app.analytics.archive.ledger import Ledger
from app.analytics.archive.target import Target
from app.analytics.rollup.slots import EPOCH
from models.base import Raw, now
from models.seal import WRITING, ArchivedDay


async def rewrite_day(archive: Target, row: Raw, beat: Beat) -> int:
    """Rewrite those files of a day that have to be. How many events were taken out."""
    if row.get("state") == WRITING and not await has_events(row):
        await _drop_unfinished(archive, row)
        return 0
    looked = now() - SETTLED
    times: list[datetime] = [part.get("erasedTo") or EPOCH for part in parts_of(row)]
    erased = await Ledger.since(min(times, default=looked))
    if erased.empty and row.get("state") == WRITING:
        return 0  # who writes may be at it
    if not await drop_leftovers(archive, row) or erased.empty:
        return 0
    taken = 0
    for part in parts_of(row):
        found = await _erased_in(archive, row, part, erased)
        if found is None or (
            found and not await _rewrite_part(archive, row, part, erased, found, looked)
        ):
            return taken
        taken += found
        await beat()
    await step(row, with_parts([{**part, "erasedTo": looked} for part in parts_of(row)]))
    return taken


async def _erased_in(archive: Target, row: Raw, part: Raw, erased: Ledger) -> int | None:
    """How many events of the erased a part has; None where another process has replaced it
    meanwhile."""
    found = 0
    try:
        async for batch in read_part(archive, part, unpack_rows):
            found += len(batch) - len(list(erased.left_of(batch)))
    except FileNotFoundError:
        if await step(row, {}):
            raise
        return None
    return found


async def _rewrite_part(
    archive: Target, row: Raw, part: Raw, erased: Ledger, found: int, looked: datetime
) -> bool:
    """Give a day another file in place of one; none where nobody is left. False where another
    process is at this day.

    The former file stays whole until the new one is noted, and is a leftover from then on.
    """

    def placed(fresh: Raw | None) -> Raw:
        files = [{**part, **fresh, "stored": part["stored"], "erasedTo": looked}] if fresh else []
        number = [each["file"] for each in parts_of(row)].index(part["file"])
        parts = [*parts_of(row)[:number], *files, *parts_of(row)[number + 1 :]]
        return {**with_parts(parts), "leftovers": [part["file"]]}

    if found == part["rows"]:
        replaced = await step(row, placed(None))
    else:
        kept = _left(archive, part, erased)
        replaced = await put_in_place(archive, row, kept, 2**63, lambda fresh, _: placed(fresh))
    return replaced and await drop_leftovers(archive, row)


async def _left(archive: Target, part: Raw, erased: Ledger) -> AsyncIterator[list[Raw]]:
    async for batch in read_part(archive, part, unpack_rows):
        if kept := list(erased.left_of(batch)):
            yield kept


async def _drop_unfinished(archive: Target, row: Raw) -> None:
    """Remove what is left of an archiving that died, where the day has no events any more.

    Where it has some, the next archiving goes on with it.
    """
    leftovers = [*row.get("leftovers", []), *(part["file"] for part in parts_of(row))]
    if await step(row, {**with_parts([]), "leftovers": leftovers}) and await drop_leftovers(
        archive, row
    ):
        await ArchivedDay.raw().delete_one({"_id": row["_id"], "version": row["version"]})
