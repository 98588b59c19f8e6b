"""`python -m scripts archive`: raw events to files, back, and what there is."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.database.turns import AlwaysOvertaken
from app.settings import Settings, load_settings
from scripts.tables import table
from scripts.target import NoTargetError, opened, reason

if TYPE_CHECKING:
    from app.analytics.archive.seal_days import Waiting

cli = typer.Typer(
    add_completion=False,
    help="Archive the raw events of days that are over, restore them, release them, list them.",
)


@cli.callback(invoke_without_command=True)
def archive(context: typer.Context) -> None:
    """Without a command: seal and archive what is due, and rewrite files that hold somebody who was
    erased."""
    if context.invoked_subcommand is None:
        _run(_archive)


@cli.command()
def restore(
    app_id: Annotated[str, typer.Argument(metavar="APP")],
    first: Annotated[str, typer.Argument(metavar="FROM", help="A day, such as 2026-11-20.")],
    last: Annotated[
        str | None, typer.Argument(metavar="[TO]", help="The last day; FROM if absent.")
    ] = None,
) -> None:
    """Put days of an app back into the database, without those who were erased. Rollups do not
    change.

    They stay there until `archive release`.
    """
    _run(lambda settings: _restore(settings, app_id, first, last or first))


@cli.command()
def release(
    app_id: Annotated[str, typer.Argument(metavar="APP")],
    first: Annotated[str, typer.Argument(metavar="FROM", help="A day, such as 2026-11-20.")],
    last: Annotated[
        str | None, typer.Argument(metavar="[TO]", help="The last day; FROM if absent.")
    ] = None,
) -> None:
    """Let restored days go: the next archiving takes their events out of the database again."""
    _run(lambda _: _release(app_id, first, last or first))


@cli.command(name="list")
def list_days(app_id: Annotated[str | None, typer.Argument(metavar="[APP]")] = None) -> None:
    """Show what is archived: events, bytes, and whether the events are in the database, too."""
    _run(lambda _: _list(app_id))


def _run(work: Any) -> None:
    settings = load_settings()
    try:
        asyncio.run(_opened(settings, work))
    except AlwaysOvertaken:
        typer.echo(
            "others held what is to be written, or one of them was killed: try again in a minute",
            err=True,
        )
        raise typer.Exit(1) from None
    except (NoTargetError, PyMongoError, ValueError, KeyError, OSError) as error:
        typer.echo(error.args[0] if isinstance(error, KeyError) else reason(error), err=True)
        raise typer.Exit(1) from None


async def _opened(settings: Settings, work: Any) -> None:
    async with opened(settings):
        await work(settings)


def _bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


async def _archive(settings: Settings) -> None:
    from app.analytics.archive.seal_days import (  # noqa: PLC0415  # slow imports
        archive_due,
        due_days,
        rewrite_erased,
        seal_due,
        waiting_apps,
    )
    from models.base import now  # noqa: PLC0415
    from models.seal import ArchivedDay  # noqa: PLC0415

    await seal_due(settings, now())
    events = 0
    with _bar() as bar:
        task = bar.add_task("archiving", total=len(await due_days(now())))

        async def archived(_: str, rows: int) -> None:
            nonlocal events
            events += rows
            bar.advance(task)

        files = bar.add_task("files written, and files whose events are removed", total=None)

        async def file_done() -> None:
            bar.advance(files)

        days = await archive_due(settings, archived, beat=file_done)
        again = bar.add_task("taking the erased out", total=None)

        async def rewritten(_: str, __: int) -> None:
            bar.advance(again)

        erased = await rewrite_erased(settings, rewritten)
    typer.echo(
        f"{days} days with {events} events archived; {erased} events of erased people taken out."
    )
    for each in await waiting_apps(timedelta(seconds=settings.analytics_trail_seconds), now()):
        typer.echo(_waits(each))
    if held := await ArchivedDay.find_held():
        typer.echo(
            f"{len(held)} restored days stay until they are released (archive list shows which)."
        )


def _waits(waiting: "Waiting") -> str:
    """Why nothing of an app could be archived, and until when."""
    sealed = (
        f"{waiting.app_id} has more to archive. It was sealed at {waiting.sealed_at:%H:%M:%S} UTC"
    )
    if waiting.until is None:
        return (
            f"{sealed}, and the rollups stand at {waiting.as_of:%Y-%m-%d %H:%M:%S}: a worker has to"
            " move them on."
        )
    behind = "every server knows of it" if waiting.as_of is None else "the rollups have passed that"
    minute = (waiting.until + timedelta(seconds=59)).replace(second=0)
    return f"{sealed}: try again once {behind}, by {minute:%H:%M} UTC at the latest."


async def _restore(settings: Settings, app_id: str, first: str, last: str) -> None:
    from app.analytics.archive.restore import restore_day  # noqa: PLC0415
    from models.seal import ArchivedDay  # noqa: PLC0415

    where = {
        "_id": {"$gte": f"{app_id}/{first}", "$lte": f"{app_id}/{last}"},
        "state": {"$ne": "writing"},
    }
    rows = await ArchivedDay.raw().find(where, {"rows": 1}).sort("_id", 1).to_list()
    if not rows:
        raise KeyError(f"{app_id} has no archive of {first} to {last}")
    done: list[tuple[int, int]] = []
    with _bar() as bar:
        task = bar.add_task("restoring", total=sum(row["rows"] for row in rows))
        for row in rows:
            day = row["_id"].rpartition("/")[2]
            done.append(await restore_day(settings, app_id, day, partial(bar.advance, task)))
    restored, left = map(sum, zip(*done, strict=True))
    typer.echo(
        f"{restored} events of {len(rows)} days restored, {left} left out (there already, or"
        " erased)."
    )
    typer.echo(f"They stay until: python -m scripts archive release {app_id} {first} {last}")


async def _release(app_id: str, first: str, last: str) -> None:
    from app.analytics.archive.restore import release_days  # noqa: PLC0415

    count = await release_days(app_id, first, last)
    if not count:
        raise KeyError(f"no day of {app_id} from {first} to {last} is held")
    typer.echo(f"{count} days are held no more: the next archiving takes their events away.")


async def _list(app_id: str | None) -> None:
    from models.seal import ArchivedDay  # noqa: PLC0415

    where = {"appId": app_id or {"$gte": ""}, "state": {"$ne": "writing"}}
    rows = await ArchivedDay.raw().find(where).sort([("appId", 1), ("day", 1)]).to_list()
    if not rows:
        typer.echo("Nothing is archived.")
        return
    shown = table("Archive", ["app", "day", "files"], ["events", "bytes", "in the database"])
    for row in rows:
        figures = (f"{row['rows']:,}", f"{row['bytes']:,}", _inside(row))
        shown.add_row(row["appId"], f"{row['day']:%Y-%m-%d}", _files(row), *figures)
    Console(markup=False).print(shown)


def _files(row: dict[str, Any]) -> str:
    """The name of a day's file; of several a pattern, and how many they are."""
    from app.analytics.archive.entry import parts_of  # noqa: PLC0415

    names = [str(part["file"]) for part in parts_of(row)]
    return "".join(names) if len(names) < 2 else f"{names[0].partition('~')[0]}~* ({len(names)})"


def _inside(row: dict[str, Any]) -> str:
    """Whether a day's events are in the database, too."""
    from app.analytics.archive.entry import parts_of  # noqa: PLC0415

    stored = {part["stored"] for part in parts_of(row)}
    told = (
        "no" if row["removed"] or stored == {"none"} else "yes" if stored <= {"all"} else "in part"
    )
    return f"{told}, held" if row.get("held") else told
