"""`python -m scripts data`: what app data there is, and how often it is rewritten."""

import asyncio
import json
from typing import Annotated

import typer
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.table import Table

from models.app_data_expiry import version_stats
from models.base import Raw
from scripts.tables import table
from scripts.target import NoTargetError, opened

cli = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Look at the app data that is stored."
)


@cli.callback()
def _data() -> None:
    """Look at the app data that is stored."""


@cli.command()
def stats(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show per app: live keys, tombstones, bytes of JSON, mean and largest version. Reads the whole
    collection once."""
    try:
        rows = asyncio.run(_stats())
    except (NoTargetError, PyMongoError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows:
        Console(markup=False).print(_table(rows))
    else:
        typer.echo("No app data is stored.")


async def _stats() -> list[Raw]:
    async with opened() as database:
        with Console(stderr=True).status(f"reading the app data of `{database.name}`"):
            return await version_stats()


def _table(rows: list[Raw]) -> Table:
    headings = ("keys", "tombstones", "bytes", "mean version", "largest version")
    shown = table("App data", ["app"], headings)
    for row in rows:
        shown.add_row(
            row["appId"],
            f"{row['keys']:,}",
            f"{row['tombstones']:,}",
            f"{row['bytes']:,}",
            f"{row['meanVersion']:.2f}",
            f"{row['maxVersion']:,}",
        )
    return shown
