"""The restore: a backup into an empty database.

A mark in the database says that it is under way, from before the first document to the end of what
`app.recovery.restored` does: no server is ready meanwhile, and one that was killed is begun anew,
from an emptied database.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.operations import IndexModel
from pymongo.write_concern import WriteConcern

from app.errors.sentences import Telling
from app.recovery.manifest import Manifest, Part
from app.recovery.pieces import DamagedBackupError, check, documents_of
from app.storage import Store
from models.base import Raw
from models.deployment import Deployment

_BATCH_BYTES: Final = 8 * 1024 * 1024
_FAST: Final = WriteConcern(w=1, j=False)  # the mark's last write has a majority, and all before it
_RAW: Final[CodecOptions[RawBSONDocument]] = CodecOptions(document_class=RawBSONDocument)
_MADE_AT_START: Final = frozenset({"deployments", "jobs", "migrations"})
"""Collections that a database has once a server was started on it, or `migrate` was run."""

Progress = Callable[[int], object]
"""Told of how many bytes were restored, not packed."""


class NotEmptyError(Telling):
    """The database holds something already."""


async def restore(
    database: AsyncDatabase[Raw],
    store: Store,
    manifest: Manifest,
    *,
    replace: bool = False,
    progress: Progress = lambda _: None,
    checked: Progress = lambda _: None,
) -> None:
    """Put what a backup has into the database. It is not to be used before `restored` is through.

    Args:
        database: an empty one, or one whose restore was killed.
        store: where the backup is.
        manifest: the backup's.
        replace: first drop whatever there is, once each file was read and is what was written.
        progress: told of what was done.
        checked: told of the packed bytes of files that were read for that.

    Raises:
        NotEmptyError: the database holds something, and is not to be replaced.
        DamagedBackupError: a file is not what was written. Where the database held something, it
            is as it was; else it is not ready, and half restored: restore anew from another backup.
        OSError: a file could not be read.
    """
    if not await Deployment.is_restoring():
        if holds := await _first_filled(database):
            if not replace:
                raise NotEmptyError(f"`{database.name}` is not empty: {holds} holds documents")
            for piece in manifest.pieces:
                await asyncio.to_thread(check, store, piece)
                checked(piece.packed)
        await Deployment.mark_restoring(manifest.digest())
    await _empty(database)
    for part in manifest.parts:
        await _restore_part(database, store, part, progress)
    for part in manifest.parts:
        if part.indexes:
            await database[part.name].create_indexes([_model(each) for each in part.indexes])
    await Deployment.mark_restoring(manifest.digest())


def _model(index: Raw) -> IndexModel:
    options = {name: value for name, value in index.items() if name != "key"}
    return IndexModel(list(index["key"].items()), **options)


async def _first_filled(database: AsyncDatabase[Raw]) -> str | None:
    for name in sorted(set(await _names(database)) - _MADE_AT_START):
        if await database[name].find_one({}, {"_id": 1}) is not None:
            return name
    return None


async def _names(database: AsyncDatabase[Raw]) -> list[str]:
    names = await database.list_collection_names()
    return [name for name in names if not name.startswith("system.")]


async def _empty(database: AsyncDatabase[Raw]) -> None:
    """Drop everything but the mark."""
    kept = Deployment.collection_name()
    for name in await _names(database):
        if name != kept:
            await database.drop_collection(name)
    await Deployment.drop_all_but_mark()


async def _restore_part(
    database: AsyncDatabase[Raw], store: Store, part: Part, progress: Progress
) -> None:
    if part.name != Deployment.collection_name():
        await database.create_collection(part.name, check_exists=False, **part.options)
    collection: Any = database.get_collection(part.name, codec_options=_RAW, write_concern=_FAST)
    for piece in part.pieces:
        found = 0
        batches = documents_of(store, piece, _BATCH_BYTES)
        with _closing(batches):
            while batch := await asyncio.to_thread(next, batches, None):
                await _insert(collection, batch)
                found += len(batch)
                progress(sum(len(each.raw) for each in batch))
        if found != piece.documents:
            raise DamagedBackupError(f"{piece.name} does not have {piece.documents} documents")


async def _insert(
    collection: AsyncCollection[RawBSONDocument], batch: list[RawBSONDocument]
) -> None:
    if collection.name == Deployment.collection_name():
        own = [each for each in batch if each["_id"] != Deployment.MARK]
        writes: list[Any] = [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in own]
        await collection.bulk_write(writes)
        return
    await collection.insert_many(batch, ordered=False)


@contextmanager
def _closing(batches: Iterator[list[RawBSONDocument]]) -> Iterator[None]:
    try:
        yield
    finally:
        close: Any = getattr(batches, "close", None)
        if close is not None:
            close()
