"""`python -m scripts bench`: Satchel and the yardstick in turn, on one MongoDB, under the same
requests."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress

from scripts.bench.data import fill
from scripts.bench.ground import Ground, faults_told
from scripts.bench.processes import (
    LoadGenerator,
    Server,
    cpu_seconds,
    end_at_sigterm,
    start_module,
    stop,
)
from scripts.bench.report import Comparison, Measured, machine, tables
from scripts.bench.traffic import WORKLOADS
from scripts.mongod import Embedded

_WARM_UP: Final = 0.25
_BARE = "scripts.bench.bare"


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
    ] = 32,
    pool: Annotated[
        int | None, typer.Option(min=1, max=500, help="SATCHEL_POOL_MAX_SIZE, if not its default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a Satchel, as `make run` starts it, against a bare handler with one index and with
    all of ours. Exits 1 at the first wrong answer."""
    names = only or list(WORKLOADS)
    if unknown := set(names) - WORKLOADS.keys():
        raise typer.BadParameter(
            f"there is no workload {', '.join(sorted(unknown))}", param_hint="--only"
        )
    end_at_sigterm()
    with faults_told():
        where, comparisons = _measure(names, seconds, rounds, connections, pool)
    if as_json:
        rows = [one.row() for one in comparisons]
        typer.echo(json.dumps({"machine": where, "workloads": rows}, indent=2))
    else:
        tables(comparisons, where, Console())


Round = tuple[Measured, ...]
"""One round of each server: Satchel, the yardstick, the yardstick with our indexes."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that runs; Satchel is the first of the servers."""

    servers: tuple[Server, ...]
    load: LoadGenerator
    mongod: Embedded

    def warm_up(self, workload: str, seconds: float) -> None:
        """Let the servers connect, and remember what they remember."""
        for server in self.servers:
            self.load.play(server, workload, seconds)

    def rounds(self, workload: str, seconds: float, *, first: int) -> Round:
        """One round of each server, next to each other.

        Args:
            workload: which.
            seconds: of one round.
            first: whose turn is first.
        """
        count = len(self.servers)
        order = [(first + number) % count for number in range(count)]
        found = {place: self._once(self.servers[place], workload, seconds) for place in order}
        return tuple(found[place] for place in range(count))

    def _once(self, server: Server, workload: str, seconds: float) -> Measured:
        pids = (server.process.pid, self.mongod.process.pid)
        before = [cpu_seconds(pid) for pid in pids]
        result = self.load.play(server, workload, seconds)
        used = [cpu_seconds(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
        return Measured(result, *used)


def _measure(
    names: list[str], seconds: float, rounds: int, connections: int, pool: int | None
) -> tuple[dict[str, Any], list[Comparison]]:
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        task = progress.add_task("Starting ...", total=len(names) * rounds)
        bench, where = _start(stack, connections, pool)
        comparisons = []
        for name in names:
            progress.update(task, description=WORKLOADS[name].title)
            found = []
            for one in _rounds(bench, name, seconds, rounds):
                found.append(one)
                progress.advance(task)
            comparisons.append(Comparison(name, *zip(*found, strict=True)))
        return where, comparisons


def _rounds(bench: Bench, name: str, seconds: float, rounds: int) -> Iterator[Round]:
    """The rounds of a workload, each begun by the next server, so that what drifts favours none."""
    bench.warm_up(name, max(_WARM_UP, seconds / 4))
    for number in range(rounds):
        yield bench.rounds(name, seconds, first=number % len(bench.servers))


def _start(stack: ExitStack, connections: int, pool: int | None) -> tuple[Bench, dict[str, Any]]:
    """Bring up database, data, servers, worker and load generator; the stack stops and removes
    them."""
    chosen: dict[str, Any] = {
        "environment": "development",
        "token_lifetime_seconds": 3600,
        "log_requests": True,
        "log_level": "info",
        "log_format": "json",
        "write_key_events_per_second": 100_000_000,
    }
    ground = Ground.lay(stack, **chosen, **({} if pool is None else {"pool_max_size": pool}))
    plan, mongodb = asyncio.run(fill(ground.settings, ground.mongod.uri, connections))
    where = machine(mongodb)
    servers = (
        ground.serve(),
        ground.serve("bare", f"{_BARE}:lean", "auto"),
        ground.serve("indexed", f"{_BARE}:indexed", "auto"),
    )
    _start_worker(stack, ground.variables, ground.folder)
    return Bench(servers, ground.load(plan), ground.mongod), where


def _start_worker(stack: ExitStack, variables: dict[str, str], folder: Path) -> None:
    output = stack.enter_context((folder / "worker.log").open("ab"))
    stack.callback(stop, start_module("scripts", "worker", output=output, environment=variables))
