"""`python -m scripts bench-overload`: ten times as many connections as there are places, none of
which pauses.

Satchel and the bare handler take turns on one MongoDB under the same crowd, in every second round
the other way round.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.settings import Settings
from scripts.bench.crowd import Told
from scripts.bench.data import Plan, fill
from scripts.bench.ground import Ground, faults_told
from scripts.bench.processes import LoadGenerator, Server, end_at_sigterm
from scripts.bench.report import machine
from scripts.bench.watch import Watch, memory, seconds_until_healthy
from scripts.serve import raise_file_limit

_WARM_UP: Final = (64, 3.0)
"""Connections and seconds before the first round, so that pools, caches and routes are made."""
_REST: Final = 6.0
"""Seconds after a round until memory is read: uvicorn keeps what it knows of a lost connection for
five."""
GOALS: Final = {"goodput": 1.0, "p99": 5000, "livez": 1.0, "grown": 60, "healthy": 3.0}


@dataclass(frozen=True, slots=True)
class Found:
    """One round of one server.

    Attributes:
        told: what the crowd was told.
        livez: the slowest `/livez` in seconds, on a connection of its own, ten times a second.
        before: MiB of memory when the crowd came.
        peak: at most while it was there.
        after: some seconds after it went.
        healthy: seconds from its going until a request was answered within a quarter of a second.
    """

    told: Told
    livez: float
    before: float
    peak: float
    after: float
    healthy: float


@dataclass(frozen=True, slots=True)
class Case:
    """The rounds of one crowd, in pairs: the n-th of Satchel ran next to the n-th of the bare
    handler."""

    kind: str
    size: int
    satchel: Sequence[Found]
    bare: Sequence[Found]

    @property
    def ratios(self) -> list[float]:
        """Goodput of Satchel over the bare handler's, pair by pair; over one answer a second where
        it had fewer."""
        return [
            ours.told.good / max(bare.told.good, 1)
            for ours, bare in zip(self.satchel, self.bare, strict=True)
        ]

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.kind,
            "connections": self.size,
            "ratio": round(median(self.ratios), 2),
            "ratios": [round(ratio, 2) for ratio in self.ratios],
            "satchel": figures(self.satchel),
            "bare": figures(self.bare),
        }


def figures(rounds: Sequence[Found]) -> dict[str, Any]:
    """Medians of goodput and p50, the worst of the rest, the sum of the statuses.

    Memory in MiB: what all rounds took at most, what a later one took at most, and what was left in
        the end.
    """
    latencies = [found.told.p99 for found in rounds if found.told.p99 is not None]
    halves = [found.told.p50 for found in rounds if found.told.p50 is not None]
    statuses: dict[str, int] = {}
    for found in rounds:
        for status, count in found.told.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return {
        "good": round(median(found.told.good for found in rounds)),
        "p50": round(median(halves)) if halves else None,
        "p99": max(latencies, default=None),
        "livez": round(max(found.livez for found in rounds), 3),
        "grown": round(max(found.peak for found in rounds) - rounds[0].before),
        "again": round(max((found.peak - found.before for found in rounds[1:]), default=0)),
        "kept": round(rounds[-1].after - rounds[0].before),
        "healthy": round(max(found.healthy for found in rounds), 1),
        "statuses": statuses,
        "broken": sum(found.told.broken for found in rounds),
        "crowdBusy": max(found.told.busy for found in rounds),
    }


def main(
    seconds: Annotated[
        float, typer.Option(min=0.5, max=60, help="Length of one round of one server.")
    ] = 8.0,
    rounds: Annotated[
        int, typer.Option(min=1, max=20, help="Rounds of each server per crowd.")
    ] = 3,
    crowds: Annotated[
        str,
        typer.Option(
            help=(
                "Crowds as kind:connections, separated by commas; unset: ten times the places, and"
                " reads by twenty."
            )
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Overload a Satchel and a bare handler in turn, and compare what they still serve."""
    end_at_sigterm()
    raise_file_limit()
    many = 10 * Settings.model_fields["max_in_flight"].default
    asked = _parsed(crowds or f"read:{many},write:{many},read:{2 * many}")
    with faults_told():
        where, cases = _measure(asked, seconds, rounds)
    if as_json:
        typer.echo(
            json.dumps({"machine": where, "crowds": [case.row() for case in cases]}, indent=2)
        )
    else:
        _print(cases, where)


def _parsed(crowds: str) -> list[tuple[str, int]]:
    asked = []
    for crowd in crowds.split(","):
        kind, _, size = crowd.partition(":")
        if kind not in ("read", "write") or not size.isdecimal() or not 0 < int(size) <= 20_000:
            raise typer.BadParameter("such as read:2000,write:1000", param_hint="--crowds")
        asked.append((kind, int(size)))
    return asked


def _measure(
    asked: list[tuple[str, int]], seconds: float, rounds: int
) -> tuple[dict[str, Any], list[Case]]:
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        task = progress.add_task("Starting ...", total=len(asked) * rounds * 2)
        bench, where = _start(stack)
        cases = []
        for kind, size in asked:
            progress.update(task, description=f"{size} connections that {kind}")
            found: dict[str, list[Found]] = {"satchel": [], "bare": []}
            for number in range(rounds):
                for server in _in_turn(bench, number):
                    found[server.name].append(bench.overload(server, kind, size, seconds))
                    progress.advance(task)
            cases.append(Case(kind, size, found["satchel"], found["bare"]))
        return where, cases


def _in_turn(bench: "Bench", number: int) -> Iterator[Server]:
    servers = [bench.satchel, bench.bare]
    return iter(servers if number % 2 else reversed(servers))


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that runs."""

    satchel: Server
    bare: Server
    crowd: LoadGenerator
    plan: Plan

    def warm_up(self) -> None:
        """Let both servers connect, and remember what they remember."""
        size, seconds = _WARM_UP
        for server in (self.satchel, self.bare):
            with Watch.over(server):
                for kind in ("read", "write"):
                    self.crowd.ask(server, {"kind": kind, "size": size, "seconds": seconds})

    def overload(self, server: Server, kind: str, size: int, seconds: float) -> Found:
        """One round of one server, and its rest after it."""
        before = memory(server)
        with Watch.over(server) as watch:
            told = Told(**self.crowd.ask(server, {"kind": kind, "size": size, "seconds": seconds}))
        healthy = seconds_until_healthy(server, self.plan)
        after = watch.rest(_REST)
        return Found(told, watch.slowest, before, watch.peak, after, healthy)


def _start(stack: ExitStack) -> tuple[Bench, dict[str, Any]]:
    """Bring up database, data, servers and crowd; the stack stops and removes them."""
    ground = Ground.lay(
        stack,
        environment="development",
        token_lifetime_seconds=3600,
        log_requests=True,
        log_level="info",
        log_format="json",
    )
    plan, mongodb = asyncio.run(fill(ground.settings, ground.mongod.uri, 1))
    where = machine(mongodb)
    satchel = ground.serve()
    bare = ground.serve("bare", "scripts.bench.bare:lean", "auto")
    bench = Bench(satchel, bare, ground.load(plan, "scripts.bench.crowd"), plan)
    bench.warm_up()
    return bench, where


_COLUMNS: Final = {
    "good/s": "good",
    "p50 ms": "p50",
    "p99 ms": "p99",
    "/livez s": "livez",
    "MiB": "grown",
    "again": "again",
    "kept": "kept",
    "healthy s": "healthy",
}
"""By what stands above it, the figure of a column."""


def _table(title: str, row: dict[str, Any]) -> Table:
    """Both servers under one crowd."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("statuses")
    for name in ("satchel", "bare"):
        found = row[name]
        figures = [str(found[each]) for each in _COLUMNS.values()]
        statuses = [f"{count:,} x {status}" for status, count in found["statuses"].items()]
        table.add_row(name, *figures, ", ".join(statuses))
    return table


def _print(cases: Sequence[Case], where: dict[str, Any]) -> None:
    console = Console(soft_wrap=True, width=140)
    for case in cases:
        row = case.row()
        reached = "green" if row["ratio"] >= GOALS["goodput"] else "red"
        crowd = f"{case.size:,} connections that {case.kind}"
        title = f"{crowd}: [{reached}]{row['ratio']:.2f}[/] of bare {row['ratios']}"
        console.print(_table(title, row))
    console.print(f"{where['processor']}, {where['cores']} cores, load before {where['load']}")
    console.print(
        f"Goals: {', '.join(f'{name} {goal:g}' for name, goal in GOALS.items())}. Goodput: medians;"
        " else worst."
    )
