"""`python -m scripts bench-backup`: what a backup and a restore cost, beside a bare loop over the
same documents in the same run."""

import asyncio
import resource
import secrets
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import zstandard
from pymongo.asynchronous.database import AsyncDatabase

from app.settings import Settings
from scripts.mongod import start_mongod
from scripts.target import opened

_BATCH: Final = 5000
_MIB: Final = 1024**2


def main(
    documents: Annotated[int, typer.Option(help="How many documents.")] = 100_000,
    size: Annotated[int, typer.Option(help="About how many bytes each has.")] = 1000,
    rounds: Annotated[int, typer.Option(help="How often each is measured.")] = 3,
) -> None:
    """Fill a database of its own, then back it up and restore it; the best of some rounds."""
    with tempfile.TemporaryDirectory() as folder, start_mongod(Path(folder)) as mongod:
        asyncio.run(_run(mongod.uri, Path(folder), documents, size, rounds))


async def _run(uri: str, folder: Path, documents: int, size: int, rounds: int) -> None:
    from app.recovery.backup import back_up  # noqa: PLC0415  # slow imports
    from app.recovery.manifest import Manifest  # noqa: PLC0415
    from app.recovery.restore import restore  # noqa: PLC0415
    from app.storage.folder import FolderStore  # noqa: PLC0415

    settings = Settings(data_dir=folder, database="bench")
    async with opened(settings, uri=uri) as database:
        total = await _fill(database, documents, size)
        before = _memory()
        figures: dict[str, list[float]] = {"bare loop": [], "backup": [], "restore": []}
        for number in range(rounds):
            store = FolderStore(folder / f"backup-{number}")
            figures["bare loop"].append(await _timed(_bare(database, folder / "bare.zst")))
            figures["backup"].append(await _timed(back_up(database, store, "bench")))
            manifest = Manifest.of(store)
            restoring = restore(database, store, manifest, replace=True)
            figures["restore"].append(await _timed(restoring))
            await database["deployments"].delete_many({})
        for what, seconds in figures.items():
            best = min(seconds)
            typer.echo(f"{what:10} {total / _MIB / best:7.1f} MiB/s  ({best:.2f} s of {seconds})")
        typer.echo(f"{documents:,} documents, {total / _MIB:.0f} MiB, {manifest.packed / _MIB:.0f}")
        typer.echo(f"memory {before:.0f} MiB before, {_memory():.0f} MiB at most")


async def _fill(database: AsyncDatabase[Any], documents: int, size: int) -> int:
    for start in range(0, documents, _BATCH):
        rows = [
            {"userId": number, "dataKey": f"k{number}", "value": secrets.token_hex(size // 2)}
            for number in range(start, min(start + _BATCH, documents))
        ]
        await database["appdata"].insert_many(rows)
    return int((await database.command("dbStats"))["dataSize"])


async def _bare(database: AsyncDatabase[Any], path: Path) -> None:
    """The least that any backup does: read, pack, write."""
    with path.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as packed:
        batches: Any = database["appdata"].find_raw_batches({})
        async for batch in batches:
            packed.write(batch)


async def _timed(work: Any) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _memory() -> float:
    """The most that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
