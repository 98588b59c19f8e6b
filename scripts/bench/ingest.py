"""`python -m scripts bench-ingest`: what comes in through one connection that sends batches of 500
events one after the other, with every index and with the lean ones, beside the yardstick."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import typer

from app.settings import Settings
from scripts.bench import bare
from scripts.bench.data import Plan, fill
from scripts.bench.processes import (
    BenchError,
    LoadGenerator,
    Server,
    cpu_seconds,
    end_at_sigterm,
    environment,
    start_module,
    stop,
)
from scripts.bench.report import machine
from scripts.bench.traffic import LARGE_BATCH
from scripts.mongod import Embedded, MongodError, start_mongod
from scripts.serve import FACTORY, HTTP

GOALS: Final = {"satchel": 6_000, "lean": 15_000}
"""Events a second, with every index of ours and with the lean ones."""
_WORKLOAD: Final = "batch500"


@dataclass(frozen=True, slots=True)
class Place:
    """A server on a mongod of its own, with its worker if it has one.

    Attributes:
        mongod: whose rows of others do not slow it.
        server: that is asked.
        load: what asks it.
        pids: all processes but the load, by name.
    """

    mongod: Embedded
    server: Server
    load: LoadGenerator
    pids: dict[str, int]


@dataclass(frozen=True, slots=True)
class Played:
    """One round: events that were taken, seconds, and CPU seconds of each process."""

    events: int
    seconds: float
    cpu: dict[str, float]


def main(
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Of each server.")] = 10,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Length of a round.")] = 2.0,
) -> None:
    """Measure events a second and CPU an event through one connection. Exits 1 where they are
    fewer than 6,000 with every index, or 15,000 with the lean ones."""
    end_at_sigterm()
    try:
        found = _measure(rounds, seconds)
    except (BenchError, MongodError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(found, indent=2))
    if any(found["servers"][name]["eventsPerSecond"] < goal for name, goal in GOALS.items()):
        raise typer.Exit(1)


def _measure(rounds: int, seconds: float) -> dict[str, Any]:
    kinds = {
        "satchel": (FACTORY, False),
        "lean": (FACTORY, True),
        "bare": (f"{bare.__name__}:lean", False),
        "indexed": (f"{bare.__name__}:indexed", False),
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
        versions, places = set(), {}
        for name, (factory, lean) in kinds.items():
            places[name], version = _place(stack, folder / name, factory, lean=lean)
            versions.add(version)
        played = _rounds(places, rounds, seconds)
        told = {name: _told(found) for name, found in played.items()}
        return {"machine": machine(versions.pop()), "servers": told}


def _place(stack: ExitStack, folder: Path, factory: str, *, lean: bool) -> tuple[Place, str]:
    folder.mkdir()
    mongod = stack.enter_context(start_mongod(folder))
    chosen: dict[str, Any] = {
        "mongodb_uri": mongod.uri,
        "data_dir": folder,
        "environment": "development",
        "token_lifetime_seconds": 3600,
        "log_level": "info",
        "log_format": "json",
        "write_key_events_per_second": 100_000_000,
        "lean_indexes": lean,
    }
    plan, version = asyncio.run(fill(Settings.model_validate(chosen), mongod.uri, 1))
    variables, ours = environment(list(chosen.items())), factory == FACTORY
    http = HTTP if ours else "auto"
    server = stack.enter_context(
        Server.start(folder.name, factory, environment=variables, folder=folder, http=http)
    )
    pids = {"server": server.process.pid, "mongod": mongod.process.pid}
    if ours:
        output = stack.enter_context((folder / "worker.log").open("ab"))
        worker = start_module("scripts", "worker", output=output, environment=variables)
        stack.callback(stop, worker)
        pids["worker"] = worker.pid
    return Place(mongod, server, _load(stack, plan), pids), version


def _load(stack: ExitStack, plan: Plan) -> LoadGenerator:
    return stack.enter_context(LoadGenerator.start(plan))


def _rounds(places: dict[str, Place], rounds: int, seconds: float) -> dict[str, list[Played]]:
    """Rounds of each server in turn, each begun by the next."""
    found: dict[str, list[Played]] = {name: [] for name in places}
    names = list(places)
    for place in places.values():
        place.load.play(place.server, _WORKLOAD, seconds / 4)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(_play(places[name], seconds))
    return found


def _play(place: Place, seconds: float) -> Played:
    before = {name: cpu_seconds(pid) for name, pid in place.pids.items()}
    played = place.load.play(place.server, _WORKLOAD, seconds)
    cpu = {name: cpu_seconds(pid) - before[name] for name, pid in place.pids.items()}
    return Played(played.requests * LARGE_BATCH, played.seconds, cpu)


def _told(found: Sequence[Played]) -> dict[str, Any]:
    rates = [one.events / one.seconds for one in found]
    return {
        "eventsPerSecond": round(median(rates)),
        "least": round(min(rates)),
        "most": round(max(rates)),
        "cpuMicrosecondsAnEvent": {
            name: round(median(1e6 * one.cpu[name] / one.events for one in found), 1)
            for name in found[0].cpu
        },
    }
