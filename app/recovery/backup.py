"""The backup: one snapshot of every collection, packed piece by piece, and a manifest at the end.

Nothing of the database changes, and requests go on: the snapshot is the database's own. It keeps
one for `minSnapshotHistoryWindowInSeconds` (five minutes where nobody set it), so a backup that
takes longer is for `mongodump --oplog`, or for snapshots of the volume.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from app.errors.sentences import Telling
from app.recovery.manifest import NAME, SUFFIX, Manifest, Part, stamp
from app.recovery.pieces import Writing
from app.storage import Store
from models.base import Raw, now

PIECE_BYTES: Final = 64 * 1024 * 1024
LARGE_BYTES: Final = 10 * 1024**3
"""From here on a backup may take longer than the database keeps a snapshot."""
_TOO_OLD, _UNAVAILABLE = 239, 246
_TRIES: Final = 5
_PIECE: Final = re.compile(rf"[^/\\]+\.[0-9]{{5,}}{re.escape(SUFFIX)}")
_WINDOW: Final = "minSnapshotHistoryWindowInSeconds"

Progress = Callable[[int], object]
"""Told of how many bytes were written, not packed."""


class BackupRefusedError(Telling):
    """No backup can be made there, or not in this way."""


async def back_up(
    database: AsyncDatabase[Raw], store: Store, release: str, progress: Progress = lambda _: None
) -> Manifest:
    """Make a backup in a place of its own; what is left there of one that was killed goes first.

    Raises:
        BackupRefusedError: there is one already, or something else, the database holds nothing, or
            it does not keep a snapshot for as long as it takes.
        OSError: a file could not be written.
    """
    await _clear(store)
    for attempt in range(_TRIES):
        try:
            manifest = await _snapshot(database, store, release, progress)
        except OperationFailure as error:
            if error.code == _TOO_OLD:
                raise BackupRefusedError(await _too_long(database)) from None
            if error.code != _UNAVAILABLE or attempt == _TRIES - 1:
                raise  # else an index or a collection was made after the snapshot: take another
            await _clear(store)
        else:
            await asyncio.to_thread(manifest.keep, store)
            return manifest
    raise AssertionError


async def _clear(store: Store) -> None:
    """Remove what is left of a backup that was killed, where there is nothing else: below a place
    that was not meant there may be other backups."""
    names = await asyncio.to_thread(store.names)
    if NAME in names:
        raise BackupRefusedError("there is a backup already: take another place")
    if others := [name for name in names if _PIECE.fullmatch(name) is None]:
        told = f"{others[0]} and {len(others) - 1} more" if others[1:] else others[0]
        raise BackupRefusedError(f"there is something else, {told}: take a place for it alone")
    for name in names:
        await asyncio.to_thread(store.remove, name)
    await asyncio.to_thread(store.sweep)


async def _too_long(database: AsyncDatabase[Raw]) -> str:
    found = await database.client.admin.command({"getParameter": 1, _WINDOW: 1})
    return (
        f"the backup takes longer than the database keeps a snapshot ({found[_WINDOW]} s): raise"
        f" {_WINDOW} with setParameter, or use mongodump --oplog or a snapshot of the volume"
        " (docs/backups.md)"
    )


async def _snapshot(
    database: AsyncDatabase[Raw], store: Store, release: str, progress: Progress
) -> Manifest:
    moment, found = now(), await _collections(database)
    async with database.client.start_session(snapshot=True) as session:
        parts = [await _part(database, info, store, session, progress) for info in found]
        at: Any = session._snapshot_time  # which nothing else tells
    if at is None:  # nothing was read
        raise BackupRefusedError(f"`{database.name}` holds nothing: is it the right database?")
    return Manifest(database.name, release, stamp(moment), (at.time, at.inc), parts)


async def _collections(database: AsyncDatabase[Raw]) -> list[Raw]:
    """What collections there are, but for the database's own, and for views."""
    cursor = await database.list_collections(filter={"type": {"$ne": "view"}})
    found = [dict(each) for each in await cursor.to_list()]
    found = [info for info in found if not info["name"].startswith("system.")]
    return sorted(found, key=lambda info: str(info["name"]))


async def _part(
    database: AsyncDatabase[Raw],
    info: Raw,
    store: Store,
    session: AsyncClientSession,
    progress: Progress,
) -> Part:
    collection = database[info["name"]]
    indexes = [
        {key: value for key, value in index.items() if key not in ("v", "ns")}
        for index in await (await collection.list_indexes()).to_list()
        if index["name"] != "_id_"
    ]
    part = Part(info["name"], dict(info.get("options", {})), list(map(dict, indexes)))
    pieces = _Pieces(store, part)
    try:
        batches: Any = collection.find_raw_batches({}, session=session)
        async for batch in batches:
            await pieces.add(batch)
            progress(len(batch))
        await pieces.finish()
    finally:
        await pieces.abandon()
    return part


class _Pieces:
    """The pieces of a collection: one batch is packed while the next is read."""

    def __init__(self, store: Store, part: Part) -> None:
        self._store, self._part = store, part
        self._writing: Writing | None = None
        self._packing: asyncio.Task[None] | None = None

    async def add(self, batch: bytes) -> None:
        """Have a batch packed, once the one before is."""
        await self._packed()
        if self._writing is not None and self._writing.bytes >= PIECE_BYTES:
            await self.finish()
        if self._writing is None:
            name = f"{self._part.name}.{len(self._part.pieces):05}{SUFFIX}"
            self._writing = await asyncio.to_thread(Writing, self._store, name)
        self._packing = asyncio.create_task(asyncio.to_thread(self._writing.add, batch))

    async def finish(self) -> None:
        """Have all in the store that was packed."""
        await self._packed()
        if self._writing is not None:
            self._part.pieces.append(await asyncio.to_thread(self._writing.finish))
            self._writing = None

    async def abandon(self) -> None:
        """Leave nothing of what is not finished."""
        if self._packing is not None:
            await asyncio.gather(self._packing, return_exceptions=True)
        if self._writing is not None:
            await asyncio.to_thread(self._writing.abandon)

    async def _packed(self) -> None:
        if self._packing is not None:
            packing, self._packing = self._packing, None
            await packing
