"""`python -m scripts backup`: the database into a folder or a bucket, while requests go on."""

import asyncio
import time
from typing import Annotated

import typer
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from app.errors.sentences import Telling
from app.settings import Settings, load_settings
from scripts.anywhere import somewhere
from scripts.data_folder import FolderError
from scripts.mongod import MongodError
from scripts.target import NoTargetError, opened, reason

_LARGE = (
    "This database is large ({size:.1f} GiB). The database keeps a snapshot for five minutes unless"
    " it is told otherwise; where that is too short, mongodump --oplog or a snapshot of the volume"
    " serves better (docs/backups.md)."
)
FAULTS = (NoTargetError, FolderError, MongodError, PyMongoError, Telling, OSError)


def backup(
    target: Annotated[
        str, typer.Argument(help="A folder or `s3://bucket/prefix`, for this one backup.")
    ],
) -> None:
    """Back up one snapshot of every collection. Exits 1, with the reason, where there is none then.

    It is one once its manifest is there; what is left of one that was killed goes with the next.
    """
    settings = load_settings()
    try:
        with somewhere(settings) as uri:
            asyncio.run(_backup(settings, uri, target))
    except FAULTS as error:
        typer.echo(reason(error), err=True)
        raise typer.Exit(1) from None


async def _backup(settings: Settings, uri: str, target: str) -> None:
    from app import VERSION  # noqa: PLC0415
    from app.recovery.backup import LARGE_BYTES, back_up  # noqa: PLC0415
    from app.storage import store_at  # noqa: PLC0415

    store, began = store_at(settings, target), time.monotonic()
    async with opened(settings, uri=uri) as database:
        size = int((await database.command("dbStats"))["dataSize"])
        if size >= LARGE_BYTES:
            typer.echo(_LARGE.format(size=size / 1024**3), err=True)
        with bar() as progress:
            task = progress.add_task("backing up", total=size)
            manifest = await back_up(
                database, store, VERSION, lambda done: progress.advance(task, done)
            )
    size = manifest.bytes
    seconds = max(time.monotonic() - began, 0.001)
    typer.echo(
        f"{manifest.documents:,} documents of {len(manifest.parts)} collections,"
        f" {mib(size)} in {seconds:.1f} s ({mib(size / seconds)}/s), {mib(manifest.packed)} packed."
        f"\nIt is as the database was at {manifest.at}: {target}"
    )


def bar() -> Progress:
    """A bar of bytes, on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def mib(size: float) -> str:
    """A number of bytes, for people."""
    return f"{size / 1024**2:,.1f} MiB"
