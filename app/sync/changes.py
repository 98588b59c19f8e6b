"""The rules of changes: what a client is sent that stands where its cursor says, and where it
stands then.

A pass brings a client from one moment to another: to the time T of a snapshot that its first page
reads, and that its last page ends as. Its later pages read the same snapshot, so that a pass shows
no batch by half.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final

from bson import ObjectId
from bson import Timestamp as ClusterTime

from app.sync.cursor import MOST_SENT, Cursor, digest
from app.sync.overlap import before
from models.app_data import size_of
from models.app_data_changes import (
    Found,
    SnapshotGone,
    Source,
    find_changed,
    find_live,
    find_values,
    find_versions,
)
from models.base import Raw, now
from models.values import unescape_refs

MOST_BYTES: Final = 8 * 1024 * 1024
_SENT: Final = ("dataKey", "value", "version", "createdAt", "updatedAt", "expiresAt")

Known = Callable[[Raw], bool]


@dataclass(frozen=True, slots=True)
class Page:
    """What a client is sent.

    Attributes:
        changes: envelopes and tombstones, each key once, the oldest change first.
        cursor: where the client stands then.
        more: whether the pass goes on.
    """

    changes: list[Raw]
    cursor: Cursor
    more: bool


async def read_page(source: Source, cursor: Cursor, limit: int, overlap: int) -> Page:
    """The next page of changes.

    Args:
        source: whose of which app, and which keys.
        cursor: where the client stands.
        limit: how many changes at most; they have 8 MiB at most too, or are one.
        overlap: in seconds.
    """
    known, room = await _known(source, cursor, overlap)
    found = await _found(source, cursor, limit + 1 + room, overlap, MOST_BYTES // (limit + 1))
    ends = cursor.ends or max(found.at, cursor.at or found.at)
    rows, seen, more = _cut(found, known, limit)
    changes = await _filled(rows, found.at)
    young = {
        digest(row["_id"], row["version"])
        for row in seen
        if isinstance(row["changedAt"], ClusterTime) and row["changedAt"] > before(ends, overlap)
    }
    return Page(
        [_change(row) for row in changes], _moved(cursor, ends, seen, young, more=more), more
    )


async def is_behind(source: Source, cursor: Cursor, overlap: int) -> bool:
    """Whether who stands there is to be sent anything."""
    page = await read_page(source, cursor, 1, overlap)
    return page.more or bool(page.changes)


async def _known(source: Source, cursor: Cursor, overlap: int) -> tuple[Known, int]:
    """Which rows that are found again were sent before, and how many these are at most."""
    if cursor.at is None or (isinstance(cursor.after, tuple) and cursor.after[0] > cursor.at):
        return _nothing, 0
    at = cursor.at
    if not cursor.is_full:
        return lambda row: digest(row["_id"], row["version"]) in cursor.sent, len(cursor.sent)
    try:
        versions = await find_versions(source, before(at, overlap), at)
    except SnapshotGone:  # then all that is young is sent again
        return _nothing, 0
    return lambda row: row["changedAt"] <= at and (row["_id"], row["version"]) in versions, len(
        versions
    )


def _nothing(_: Raw) -> bool:
    return False


async def _found(source: Source, cursor: Cursor, limit: int, overlap: int, share: int) -> Found:
    """The rows after the cursor, of the snapshot of its pass as long as the database can show
    it."""
    try:
        return await _found_at(source, cursor, limit, overlap, share, cursor.ends)
    except SnapshotGone:  # what has changed since then comes with the next pass as well
        return await _found_at(source, cursor, limit, overlap, share, None)


async def _found_at(
    source: Source, cursor: Cursor, limit: int, overlap: int, share: int, at: ClusterTime | None
) -> Found:
    if cursor.at is None:
        after = cursor.after if isinstance(cursor.after, str) else None
        return await find_live(source, after, share=share, limit=limit, at=at)
    position = cursor.after if isinstance(cursor.after, tuple) else None
    since = before(cursor.at, overlap)
    return await find_changed(
        source, since, position, fresh=cursor.at, share=share, limit=limit, at=at
    )


def _cut(found: Found, known: Known, limit: int) -> tuple[list[Raw], list[Raw], bool]:
    """The rows to send, all rows that are dealt with then, and whether there are more."""
    page: list[Raw] = []
    room = MOST_BYTES
    for number, row in enumerate(found.rows):
        if known(row):
            continue
        if len(page) == limit or (page and size_of(row) > room):
            return page, found.rows[:number], True
        page.append(row)
        room -= size_of(row)
    return page, found.rows, found.is_cut


async def _filled(rows: list[Raw], at: ClusterTime) -> list[Raw]:
    """The rows with the values that were left out: of the same snapshot, or as they are now where
    it is gone."""
    missing = {row["_id"] for row in rows if not row["whole"] and not row["deleted"]}
    filled: dict[ObjectId, Raw] = {}
    while missing:
        values = await _values(missing, at)
        filled |= values
        missing = missing - values.keys() if values else set()
    return [
        filled.get(row["_id"], row)
        for row in rows
        if row["whole"] or row["deleted"] or row["_id"] in filled
    ]


async def _values(ids: Collection[ObjectId], at: ClusterTime) -> dict[ObjectId, Raw]:
    try:
        return await find_values(ids, at)
    except SnapshotGone:
        return await find_values(ids, None)


def _change(row: Raw) -> dict[str, Any]:
    ended = row.get("expiresAt")
    if row["deleted"] or (ended is not None and ended <= now()):
        at = row["updatedAt"] if row["deleted"] else ended
        return {
            "dataKey": row["dataKey"],
            "version": row["version"],
            "deleted": True,
            "updatedAt": at,
        }
    if row.get("escaped"):
        row["value"] = unescape_refs(row["value"])
    return {name: row[name] for name in _SENT if name in row}


def _moved(
    cursor: Cursor, ends: ClusterTime, seen: list[Raw], young: Collection[bytes], *, more: bool
) -> Cursor:
    """The cursor after a page."""
    passed = cursor.passed | frozenset(young)
    is_full = cursor.passes_full or len(passed) > MOST_SENT
    passed = frozenset() if is_full else passed
    if not more:
        return Cursor(at=ends, sent=passed, is_full=is_full)
    after = cursor.after
    if seen:
        last = seen[-1]
        after = last["dataKey"] if cursor.at is None else (last["changedAt"], last["_id"])
    return replace(cursor, ends=ends, after=after, passed=passed, passes_full=is_full)
