"""`python -m scripts ledger`: the ledger of what was deleted and taken away, made smaller."""

import asyncio
import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from app.settings import Settings, load_settings
from scripts.anywhere import somewhere
from scripts.backup import FAULTS
from scripts.target import opened, reason

if TYPE_CHECKING:
    from app.ledger.compaction import Compacted

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The ledger of what was deleted and taken away.",
)


@cli.callback()
def _ledger() -> None:
    """The ledger of what was deleted and taken away."""


@cli.command()
def compact(
    backup: Annotated[
        list[str] | None,
        typer.Option(
            help="The oldest backup that is kept, or several of them: a folder, or `s3://…`."
        ),
    ] = None,
    before: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S%z"],
            help="Of when the oldest copy of any other kind is, such as 2026-11-20T08:30:00Z.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put the ledger into few files, without what is older than every backup that is kept.

    Without `--backup` and `--before` nothing is left out. Exits 1 where it did not come to its end;
    nothing is lost then, and it can be run again.
    """
    settings = load_settings()
    try:
        with somewhere(settings) as uri:
            done = asyncio.run(_compact(settings, uri, backup or [], before, dry_run))
    except FAULTS as error:
        typer.echo(reason(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({**asdict(done), "dryRun": dry_run}))
        return
    typer.echo(
        f"{'It would be: ' if dry_run else ''}{done.notes:,} notes in {done.files:,} files, of"
        f" {done.notes_before:,} in {done.files_before:,}."
    )


async def _compact(
    settings: Settings, uri: str, backups: list[str], before: datetime | None, dry: bool
) -> "Compacted":
    from app.errors.sentences import Telling  # noqa: PLC0415  # slow imports
    from app.ledger import Ledger, is_behind  # noqa: PLC0415
    from app.ledger.compaction import compact  # noqa: PLC0415
    from models.base import now  # noqa: PLC0415

    oldest = _oldest(settings, backups, before)
    async with opened(settings, uri=uri):
        if oldest is not None and oldest > now():
            raise Telling("the oldest backup is of the future: say of when it really is")
        if await is_behind(settings):
            raise Telling("finish the restore first: python -m scripts restored")
        return await asyncio.to_thread(compact, Ledger.of(settings), oldest, dry=dry)


def _oldest(settings: Settings, backups: list[str], before: datetime | None) -> datetime | None:
    from app.recovery.manifest import Manifest  # noqa: PLC0415
    from app.storage import store_at  # noqa: PLC0415

    found = [Manifest.of(store_at(settings, each)).moment for each in backups]
    return min([*found, *([before] if before else [])], default=None)
