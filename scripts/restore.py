"""`python -m scripts restore` and `restored`: a backup into an empty database, and what has to
follow."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from app.database.turns import AlwaysOvertaken
from app.settings import Settings, load_settings
from scripts.anywhere import somewhere
from scripts.backup import FAULTS, bar, mib
from scripts.target import opened, reason

if TYPE_CHECKING:
    from app.recovery.restored import Report


def restore(
    target: Annotated[str, typer.Argument(help="Where the backup is: a folder, or `s3://…`.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop whatever the database holds. No way back.")
    ] = False,
    forgotten: Annotated[
        bool,
        typer.Option(
            "--forgotten",
            help="Also a backup that is older than what the ledger remembers: some of what was"
            " deleted comes back.",
        ),
    ] = False,
) -> None:
    """Restore a backup into an empty database, and do what `restored` does. Stop servers and
    workers before.

    One that was killed is begun anew by the same command. Exits 1 where it did not come to its end,
    or where the integrity check finds faults.
    """
    _run(lambda settings, uri: _restore(settings, uri, target, replace, forgotten))


def restored() -> None:
    """Finish a restore, whatever did it (mongorestore, a snapshot of a volume).

    Ends sessions and codes, raises versions, checks every relation, and begins a new epoch, so that
    all ETags and cursors are new.

    Stop servers and workers before. It can be run again. Exits 1 where the integrity check finds
    faults.
    """
    _run(_restored)


def _run(work: Any) -> None:
    settings = load_settings()
    try:
        with somewhere(settings, alone=True) as uri:
            sound = asyncio.run(work(settings, uri))
    except (*FAULTS, AlwaysOvertaken) as error:
        typer.echo(reason(error), err=True)
        raise typer.Exit(1) from None
    if not sound:
        typer.echo("The integrity check found faults: python -m scripts integrity check", err=True)
        raise typer.Exit(1)


async def _restore(
    settings: Settings, uri: str, target: str, replace: bool, forgotten: bool
) -> bool:
    from app.recovery.manifest import Manifest  # noqa: PLC0415  # slow imports
    from app.recovery.restore import restore as put_back  # noqa: PLC0415
    from app.recovery.restored import check_ledger  # noqa: PLC0415
    from app.storage import store_at  # noqa: PLC0415

    store = store_at(settings, target)
    manifest = Manifest.of(store)
    if not forgotten:
        await asyncio.to_thread(check_ledger, settings, manifest)
    async with opened(settings, uri=uri) as database:
        with bar() as progress:
            task = progress.add_task("restoring", total=manifest.bytes)
            looked = progress.add_task("checking", total=manifest.packed, visible=False)

            def checked(done: int) -> None:
                progress.update(looked, advance=done, visible=True)

            await put_back(
                database,
                store,
                manifest,
                replace=replace,
                progress=lambda done: progress.advance(task, done),
                checked=checked,
            )
        typer.echo(
            f"{manifest.documents:,} documents restored, {mib(manifest.bytes)}, as they were at"
            f" {manifest.at}."
        )
        return await _finish(settings)


async def _restored(settings: Settings, uri: str) -> bool:
    async with opened(settings, uri=uri):
        return await _finish(settings)


async def _finish(settings: Settings) -> bool:
    from app.recovery.restored import finish_restore  # noqa: PLC0415
    from app.work import HOOKS  # noqa: PLC0415

    with Console(stderr=True).status("") as status:
        report = await finish_restore(settings, HOOKS, status.update)
    _tell(report)
    return report.is_sound


def _tell(report: "Report") -> None:
    for what, count in report.counts.items():
        typer.echo(f"{count:,} {what}")
    typer.echo(
        f"Epoch {report.epoch} has begun: every ETag, and every cursor of changes, from before"
        " is void."
    )
