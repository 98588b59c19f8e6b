"""`python -m scripts keyring`: a new key for the ring, re-encryption with it, and which keys are
still needed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.database import client, transaction
from app.errors import Unavailable
from app.outside.keyring import (
    KeyRing,
    KeyRingError,
    Keys,
    SealedError,
    load_keyring,
    new_keys,
    read_keys,
)
from app.settings import load_settings
from app.settings.private_files import alone, replace
from models import DOCUMENTS
from models.base import Raw, stored_name
from models.ring_key import RingKey
from models.sealed import HoldsSecrets, Sealed
from scripts.tables import table
from scripts.target import NoTargetError, opened

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Rotate the keys that seal tokens, re-encrypt with the newest, see which are needed.",
)
RingFile = Annotated[
    Path | None, typer.Option("--file", help="The ring's file; that of the settings if left out.")
]
_BATCH: Final = 200

SEALED_FIELDS: Final = [
    (document, field)
    for document in DOCUMENTS
    if issubclass(document, HoldsSecrets)
    for field in document.SEALED
]
"""Every sealed field of every collection."""


@cli.command()
def rotate(file: RingFile = None) -> None:
    """Add a key, which seals from now on; make the file where there is none. Servers notice within
    seconds."""
    path = _ring_file(file)
    try:
        with alone(path):
            keys = read_keys(path).with_new() if path.exists() else new_keys()
            replace(path, keys.dump().encode())
    except (KeyRingError, OSError) as error:
        raise _failed(error) from None
    typer.echo(
        f"{keys.current} seals from now on, {len(keys.by_id)} in the ring. Next: keyring reencrypt"
    )


@cli.command()
def reencrypt() -> None:
    """Seal everything with the newest key. Can be stopped at any time, and goes on where it was."""
    try:
        done, failed = asyncio.run(_reencrypt())
    except (NoTargetError, PyMongoError, KeyRingError, Unavailable) as error:
        raise _failed(error) from None
    typer.echo(f"{done} re-encrypted")
    for line in failed:
        typer.echo(line, err=True)
    if failed:
        raise typer.Exit(1)


@cli.command()
def status() -> None:
    """Show how many values each key has sealed. A key with none can be removed."""
    try:
        ring, counts = asyncio.run(_status())
    except (NoTargetError, PyMongoError, KeyRingError) as error:
        raise _failed(error) from None
    keys = list(dict.fromkeys([*ring.key_ids(), *(key for key, _ in counts)]))
    told = {key: "" if key in ring.key_ids() else " (MISSING)" for key in keys}
    told[ring.current] = " (seals)"
    shown = table("Key ring", ["sealed with"], [f"{key}{told[key]}" for key in keys])
    for collection, field in _labels():
        shown.add_row(
            f"{collection}.{field}",
            *(str(counts.get((key, (collection, field)), 0)) for key in keys),
        )
    Console(markup=False).print(shown)


@cli.command()
def remove(key_id: str, file: RingFile = None) -> None:
    """Take a key out of the ring, once nothing is sealed with it any more.

    First it is retired: from then on no process, whatever ring it has read, stores what is sealed
        with it.
    """
    path = _ring_file(file)
    try:
        with alone(path):  # a rotation waits: what is written is what was read, less the key
            keys = read_keys(path)
            _check_spare(key_id, keys)
            _, counts = asyncio.run(_status(retire=key_id))
            _check_unused(key_id, counts)
            replace(path, keys.without(key_id).dump().encode())
    except (NoTargetError, PyMongoError, KeyRingError, OSError) as error:
        raise _failed(error) from None
    typer.echo(f"{key_id} is removed")


def _check_spare(key_id: str, keys: Keys) -> None:
    if key_id == keys.current or key_id not in keys.by_id:
        raise KeyRingError(
            f"{key_id} is the key that seals" if key_id == keys.current else f"there is no {key_id}"
        )


def _check_unused(key_id: str, counts: dict[tuple[str, tuple[str, str]], int]) -> None:
    if used := sum(count for (key, _), count in counts.items() if key == key_id):
        raise KeyRingError(f"{used} values are still sealed with {key_id}: keyring reencrypt")


async def _reencrypt() -> tuple[int, list[str]]:
    settings = load_settings()
    ring = load_keyring(settings)
    done, failed = 0, list[str]()
    async with opened(settings):
        with _bar() as bar:
            for document, field in SEALED_FIELDS:
                where = _sealed_otherwise(field, ring.current)
                step = bar.add_task(
                    _label(document, field), total=await document.raw().count_documents(where)
                )
                async for row in _rows(document, where):
                    try:
                        done += await reseal(document, field, row, ring)
                    except SealedError as error:
                        failed.append(str(error))
                    bar.advance(step)
    return done, failed


async def reseal(document: Any, field: str, row: Raw, ring: KeyRing) -> bool:
    """Seal one value anew, unless it was changed meanwhile. The document's version does not move.

    Args:
        document: the class of its collection.
        field: the attribute.
        row: the stored document.
        ring: whose newest key seals.

    Raises:
        SealedError: it does not open.
        Unavailable: the ring that this process has read is an old one.
    """
    name = stored_name(field)
    place = document.place_in(row, field)
    fresh = ring.seal(ring.open(Sealed(row[name]), place), place)

    async def work(session: AsyncClientSession) -> bool:
        await RingKey.use([fresh.key_id], session)
        where = {"_id": row["_id"], f"{name}.c": row[name]["c"]}
        result = await document.raw().update_one(
            where, {"$set": {name: fresh.stored()}}, session=session
        )
        return bool(result.matched_count)

    return await transaction(work)


async def _rows(document: Any, where: Raw) -> AsyncIterator[Raw]:
    """Documents in the order of their ids, read in batches, so that nothing is held open for
    long."""
    last: Raw = {}
    while (
        rows := await document.raw().find({**where, **last}).sort("_id", 1).limit(_BATCH).to_list()
    ):
        for row in rows:
            yield row
        last = {"_id": {"$gt": rows[-1]["_id"]}}


async def _status(
    retire: str | None = None,
) -> tuple[KeyRing, dict[tuple[str, tuple[str, str]], int]]:
    """The ring, and how many values each key has sealed: all counted at one moment, since values
    move.

    Args:
        retire: a key that is retired before.
    """
    settings = load_settings()
    ring, counts = load_keyring(settings), dict[tuple[str, tuple[str, str]], int]()
    async with opened(settings), client().start_session(snapshot=True) as session:
        if retire is not None:
            await RingKey.retire(retire)
        for document, field in SEALED_FIELDS:
            name = stored_name(field)
            pipeline: list[Raw] = [
                {"$match": {name: {"$exists": True}}},
                {"$group": {"_id": f"${name}.k", "n": {"$sum": 1}}},
            ]
            for group in await (
                await document.raw().aggregate(pipeline, session=session)
            ).to_list():
                counts[str(group["_id"]), (document.collection_name(), name)] = group["n"]
    return ring, counts


def _sealed_otherwise(field: str, current: str) -> Raw:
    name = stored_name(field)
    return {name: {"$exists": True}, f"{name}.k": {"$ne": current}}


def _labels() -> list[tuple[str, str]]:
    return [(document.collection_name(), stored_name(field)) for document, field in SEALED_FIELDS]


def _label(document: Any, field: str) -> str:
    return f"{document.collection_name()}.{stored_name(field)}"


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _ring_file(file: Path | None) -> Path:
    if file is not None:
        return file
    settings = load_settings()
    if settings.keyring is not None:
        typer.echo(
            "The ring is in SATCHEL_KEYRING: rotate a copy in a file (--file), and put it there.",
            err=True,
        )
        raise typer.Exit(1)
    return settings.keyring_path


def _failed(error: Exception) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)
