"""`python -m scripts bench-sync`: what does it cost to follow the data of an app?"""

import asyncio
import json
from contextlib import ExitStack
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress

from app.database import bind, connect
from app.settings import Settings
from indexes.sync import apply, plan
from models.api_key import ApiKey, ApiKeyContent
from scripts.bench import batches, live, polls, stamps
from scripts.bench.ground import Ground, faults_told
from scripts.bench.processes import end_at_sigterm
from scripts.bench.report import machine
from scripts.migrate import take_steps
from scripts.serve import raise_file_limit

GOALS: Final = {"kibPerStream": 15.0, "lateP95Ms": 100.0}


def main(
    streams: Annotated[
        int, typer.Option(min=100, max=20_000, help="Streams that are open at once.")
    ] = 2000,
    writes: Annotated[
        int, typer.Option(min=20, max=10_000, help="Writes of which another client learns.")
    ] = 200,
    rounds: Annotated[
        int,
        typer.Option(min=1, max=100, help="Rounds of batches and of single puts, each a second."),
    ] = 6,
    documents: Annotated[
        int, typer.Option(min=1000, max=10_000_000, help="Of others, beside which is polled.")
    ] = 1_000_000,
) -> None:
    """Measure live events on two servers; batches, polls and what writers pay for them on one.
    Exits 1 where a goal is missed."""
    end_at_sigterm()
    raise_file_limit()
    with faults_told():
        found = _measure(streams, writes, rounds, documents)
    typer.echo(json.dumps(found, indent=2))
    if not _reached(found):
        raise typer.Exit(1)


def _reached(found: dict[str, Any]) -> bool:
    """Whether every goal is."""
    polled = found["polls"]
    return (
        found["batches"]["ratio"] >= batches.GOAL
        and polled["emptyInReads"] <= polls.GOAL
        and polled["flatness"] <= polls.FLAT
        and all(found["live"][name] <= goal for name, goal in GOALS.items())
    )


def _measure(streams: int, writes: int, rounds: int, documents: int) -> dict[str, Any]:
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        progress.add_task("Measuring ...", total=None)
        ground = Ground.lay(
            stack,
            log_requests=False,
            event_streams=streams + 100,
            event_streams_per_user=100,
        )
        uri, pid, database = ground.mongod.uri, ground.mongod.process.pid, ground.settings.database
        admin, version = asyncio.run(_prepare(ground.settings, uri))
        first, second = ground.serve("satchel"), ground.serve("another")
        bench = live.Bench((first, second), database, uri, admin)
        users = asyncio.run(_people(bench, batches.CONNECTIONS))
        crowd = polls.Bench(first, pid, uri, database, documents)
        return {
            "machine": machine(version),
            "batches": batches.measure(first, pid, users, rounds),
            "stamps": asyncio.run(stamps.measure(uri, pid, rounds)),
            "live": asyncio.run(live.measure(bench, streams, writes)),
            "polls": polls.measure(crowd, users, rounds),  # last: it fills the database
            "goals": GOALS,
        }


async def _people(bench: live.Bench, count: int) -> list[tuple[str, str]]:
    """Ids and access tokens."""
    people = [await live.enrolled(bench) for _ in range(count)]
    return [(str(user_id), token) for user_id, token in people]


async def _prepare(settings: Settings, uri: str) -> tuple[str, str]:
    """An admin's key, in a database that is ready, and its version."""
    async with connect(settings, uri, bounded=False) as client:
        database = await bind(client, settings)
        await apply(database, await plan(database))
        await take_steps(database)
        key, secret = ApiKey.issue(
            ApiKeyContent.model_validate({"name": "bench", "scopes": ["admin"]})
        )
        await key.add()
        return secret, str((await client.server_info())["version"])
