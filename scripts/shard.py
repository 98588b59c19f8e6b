"""`python -m scripts shard`: the commands that spread collections over a sharded cluster, and
whether a cluster has them."""

import asyncio
import re
from typing import Annotated, Any, Final

import typer
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from app.settings import load_settings
from indexes.sharding import Zone, commands, drift
from models.app import is_name
from models.base import Raw
from scripts.target import NoTargetError, opened, reason

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Spread collections over the shards of a cluster.",
)
_ZONE: Final = re.compile(r"([A-Za-z0-9_-]+)=(.+)")


class NoClusterError(Exception):
    """The database is no sharded cluster."""


@cli.command()
def plan(
    zone: Annotated[
        list[str] | None,
        typer.Option(help="ZONE=APP: keep the events of an app in a zone; several times."),
    ] = None,
) -> None:
    """Print the commands for mongosh that shard the collections of an existing cluster. Asks no
    database, changes nothing."""
    for line in commands(load_settings().database, list(map(_zone, zone or []))):
        typer.echo(line)


@cli.command()
def check() -> None:
    """See whether the cluster's collections are sharded as declared. Exits 1 where one is not."""
    try:
        found = asyncio.run(_check())
    except (NoTargetError, NoClusterError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except PyMongoError as error:
        typer.echo(reason(error), err=True)
        raise typer.Exit(1) from None
    for line in found:
        typer.echo(line)
    if found:
        raise typer.Exit(1)
    typer.echo("Every collection is sharded as it should be.")


async def _check() -> list[str]:
    async with opened() as database:
        return await find_drift(database)


async def find_drift(database: AsyncDatabase[Raw]) -> list[str]:
    """What is otherwise than declared in the cluster of a database, in sentences.

    Raises:
        NoClusterError: it is none.
    """
    hello: dict[str, Any] = await database.command("hello")
    if hello.get("msg") != "isdbgrid":
        raise NoClusterError(
            "This MongoDB is not a sharded cluster: connect to one of its routers (mongos)."
        )
    known = database.client["config"]["collections"].find({}, {"key": 1, "unsplittable": 1})
    return drift(database.name, [row async for row in known])


def _zone(spelt: str) -> Zone:
    found = _ZONE.fullmatch(spelt)
    if found is None or not is_name(found[2]):
        raise typer.BadParameter(f"{spelt} is not ZONE=APP", param_hint="--zone")
    return Zone(found[1], found[2])
