"""`python -m scripts bench`: Satchel and a bare handler in turn, on one MongoDB, under the same
requests."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress

from app.settings import Settings
from scripts.bench.data import fill
from scripts.bench.processes import (
    BenchError,
    LoadGenerator,
    Server,
    cpu_seconds,
    end_at_sigterm,
    environment,
)
from scripts.bench.report import Comparison, Measured, machine, tables
from scripts.bench.traffic import WORKLOADS
from scripts.mongod import Embedded, MongodError, start_mongod
from scripts.serve import FACTORY

_WARM_UP: Final = 0.25
_BARE = "scripts.bench.bare:create_app"


def main(
    seconds: Annotated[
        float, typer.Option(min=0.1, max=60, help="Length of one round of one server.")
    ] = 0.5,
    rounds: Annotated[
        int, typer.Option(min=1, max=50, help="Rounds of each server per workload.")
    ] = 20,
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(WORKLOADS)}; several times.")
    ] = None,
    connections: Annotated[
        int, typer.Option(min=1, max=64, help="Requests under way at any time.")
    ] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a Satchel against a bare handler on the same database. Exits 1 at the first wrong
    answer."""
    names = only or list(WORKLOADS)
    if unknown := set(names) - WORKLOADS.keys():
        raise typer.BadParameter(
            f"there is no workload {', '.join(sorted(unknown))}", param_hint="--only"
        )
    end_at_sigterm()
    try:
        where, comparisons = _measure(names, seconds, rounds, connections)
    except (BenchError, MongodError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(
            json.dumps(
                {"machine": where, "workloads": [one.row() for one in comparisons]}, indent=2
            )
        )
    else:
        tables(comparisons, where, Console())


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that runs."""

    satchel: Server
    bare: Server
    load: LoadGenerator
    mongod: Embedded

    def warm_up(self, workload: str, seconds: float) -> None:
        """Let both servers connect, and remember what they remember."""
        for server in (self.satchel, self.bare):
            self.load.play(server, workload, seconds)

    def pair(self, workload: str, seconds: float, *, bare_first: bool) -> tuple[Measured, Measured]:
        """One round of Satchel and one of the bare handler next to it."""
        if bare_first:
            bare = self._once(self.bare, workload, seconds)
            return self._once(self.satchel, workload, seconds), bare
        return self._once(self.satchel, workload, seconds), self._once(self.bare, workload, seconds)

    def _once(self, server: Server, workload: str, seconds: float) -> Measured:
        pids = (server.process.pid, self.mongod.process.pid)
        before = [cpu_seconds(pid) for pid in pids]
        result = self.load.play(server, workload, seconds)
        used = [cpu_seconds(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
        return Measured(result, *used)


def _measure(
    names: list[str], seconds: float, rounds: int, connections: int
) -> tuple[dict[str, Any], list[Comparison]]:
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        task = progress.add_task("Starting ...", total=len(names) * rounds)
        bench, where = _start(stack, connections)
        comparisons = []
        for name in names:
            progress.update(task, description=WORKLOADS[name].title)
            pairs = []
            for pair in _pairs(bench, name, seconds, rounds):
                pairs.append(pair)
                progress.advance(task)
            satchel, bare = zip(*pairs, strict=True)
            comparisons.append(Comparison(name, satchel, bare))
        return where, comparisons


def _pairs(
    bench: Bench, name: str, seconds: float, rounds: int
) -> Iterator[tuple[Measured, Measured]]:
    """The pairs of a workload; every second one in the other order, so that what drifts favours
    neither."""
    bench.warm_up(name, max(_WARM_UP, seconds / 4))
    for number in range(rounds):
        yield bench.pair(name, seconds, bare_first=number % 2 == 1)


def _start(stack: ExitStack, connections: int) -> tuple[Bench, dict[str, Any]]:
    """Bring up database, data, servers and load generator; the stack stops and removes them."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
    mongod = stack.enter_context(start_mongod(folder))
    chosen: dict[str, Any] = {
        "mongodb_uri": mongod.uri,
        "data_dir": folder,
        "environment": "development",
        "token_lifetime_seconds": 3600,
        "log_requests": True,
        "log_level": "info",
        "log_format": "json",
        "write_key_events_per_second": 100_000_000,
    }
    settings = Settings.model_validate(chosen)
    plan, mongodb = asyncio.run(fill(settings, mongod.uri, connections))
    where = machine(mongodb)
    variables = environment(list(chosen.items()))
    satchel = stack.enter_context(
        Server.start("satchel", FACTORY, environment=variables, folder=folder)
    )
    bare = stack.enter_context(Server.start("bare", _BARE, environment=variables, folder=folder))
    return Bench(satchel, bare, stack.enter_context(LoadGenerator.start(plan)), mongod), where
