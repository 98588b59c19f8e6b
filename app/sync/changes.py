"""The rules of changes: what a client is sent that stands where its cursor says, and where it
stands then.

A pass brings a client from one moment to another: to the time T of a snapshot that its first page
reads, and that its last page ends as. Its later pages read the same snapshot, so that a pass shows
no batch by half.

A row that was damaged outside of Satchel is left out, and told: a client keeps what it has of the
key, and gets what comes after it (docs/sync.md).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final

from bson import ObjectId
from bson import Timestamp as ClusterTime

from app.sync.cursor import MOST_SENT, Cursor, digest
from app.sync.overlap import before
from app.web.body import is_json
from models.app_data import AppData
from models.app_data_changes import (
    Found,
    Position,
    SnapshotGone,
    Source,
    find_changed,
    find_live,
    find_values,
    find_versions,
    is_sound,
)
from models.app_data_rows import size_of
from models.aside import tell
from models.base import Raw, now
from models.unreadable import Unreadable
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
        ids: of the rows that the changes are of.
    """

    changes: list[Raw]
    cursor: Cursor
    more: bool
    ids: list[ObjectId]

    def answerable(self) -> "Page":
        """The page without values that are nothing JSON could say, which are told."""
        good = [
            (change, row_id)
            for change, row_id in zip(self.changes, self.ids, strict=True)
            if _is_json(change, row_id)
        ]
        return replace(self, changes=[each for each, _ in good], ids=[each for _, each in good])


async def read_page(source: Source, cursor: Cursor, limit: int, overlap: int) -> Page:
    """The next page of changes.

    Args:
        source: whose of which app, and which keys.
        cursor: where the client stands.
        limit: how many changes at most; they have 8 MiB at most too, or are one.
        overlap: in seconds.
    """
    known, room = await _known(source, cursor, overlap)
    asked = limit + 1 + room
    found = await _found(source, cursor, asked, overlap, MOST_BYTES // (limit + 1))
    ends = cursor.ends or max(found.at, cursor.at or found.at)
    rows, seen, more = _cut(found, known, limit, asked)
    changes = [row for row in await _filled(rows, found.at) if _is_told(row, is_whole=True)]
    young = {
        digest(row["_id"], row["version"])
        for row in seen
        if _is_young(row, before(ends, overlap)) and is_sound(row)
    }
    moved = _moved(cursor, ends, seen, young, more=more)
    return Page([_change(row) for row in changes], moved, more, [row["_id"] for row in changes])


def _is_young(row: Raw, bound: ClusterTime) -> bool:
    stamp = row.get("changedAt")
    return isinstance(stamp, ClusterTime) and stamp > bound


def _is_told(row: Raw, *, is_whole: bool = False) -> bool:
    """Whether a row can be sent; of one that cannot it is told."""
    is_good = is_sound(row) and (not is_whole or row["deleted"] or "value" in row)
    if not is_good:
        tell(AppData, row["_id"], TypeError())
    return is_good


def _is_json(change: Raw, row_id: ObjectId) -> bool:
    if is_json(change):
        return True
    tell(AppData, row_id, TypeError())
    return False


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


def _cut(found: Found, known: Known, limit: int, asked: int) -> tuple[list[Raw], list[Raw], bool]:
    """The rows to send, all rows that are dealt with then, and whether there are more: as many as
    were asked for come to their end here only where damaged ones are among them."""
    page: list[Raw] = []
    room = MOST_BYTES
    for number, row in enumerate(found.rows):
        if not _is_told(row) or known(row):
            continue
        if len(page) == limit or (page and size_of(row) > room):
            return page, found.rows[:number], True
        page.append(row)
        room -= size_of(row)
    return page, found.rows, found.is_cut or len(found.rows) == asked


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


def _position(rows: list[Raw], *, is_by_key: bool) -> Position | str:
    """Where the last row stands that can say so; raises Unreadable where none can, since the same
    would come again and again."""
    for row in reversed(rows):
        key, stamp, row_id = row.get("dataKey"), row.get("changedAt"), row["_id"]
        if is_by_key and isinstance(key, str):
            return key
        if not is_by_key and isinstance(stamp, ClusterTime) and isinstance(row_id, ObjectId):
            return stamp, row_id
    raise Unreadable(AppData.collection_name(), rows[-1]["_id"])


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
        after = _position(seen, is_by_key=cursor.at is None)
    return replace(cursor, ends=ends, after=after, passed=passed, passes_full=is_full)
