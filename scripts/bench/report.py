"""What a run found: medians over its rounds, as tables or as JSON."""

import math
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from scripts.bench.load import Round
from scripts.bench.traffic import WORKLOADS, Workload

_PACKAGES: Final = ("fastapi", "uvicorn", "pymongo")


@dataclass(frozen=True, slots=True)
class Measured:
    """One round of one server: the load generator's figures, and CPU seconds used by the server and
    by MongoDB."""

    round: Round
    server_cpu: float
    mongod_cpu: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.round.requests / self.round.seconds

    @property
    def cpu(self) -> float:
        """The server's CPU time per request in microseconds."""
        return 1e6 * self.server_cpu / self.round.requests

    @property
    def database_cpu(self) -> float:
        """MongoDB's CPU time per request in microseconds."""
        return 1e6 * self.mongod_cpu / self.round.requests


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rounds of one workload: the n-th of each server ran next to each other."""

    name: str
    satchel: Sequence[Measured]
    bare: Sequence[Measured]
    indexed: Sequence[Measured]

    @property
    def workload(self) -> Workload:
        """What was played."""
        return WORKLOADS[self.name]

    @property
    def ratios(self) -> list[float]:
        """What the goal is about, round by round: Satchel's throughput over the yardstick's with
        one index, or of one connection its median latency."""
        return self._ratios(self._measure, self.bare)

    @property
    def ratio(self) -> float:
        """The median of `ratios`."""
        return median(self.ratios)

    @property
    def indexed_ratio(self) -> float:
        """The same of the yardstick with all of our indexes."""
        return median(self._ratios(self._measure, self.indexed))

    @property
    def p99_ratio(self) -> float:
        """Median of the 99th percentiles of latency, Satchel's over the yardstick's with one
        index."""
        return median(self._ratios(lambda one: one.round.p99, self.bare))

    @property
    def cpu_ratio(self) -> float:
        """Median of CPU time per request, Satchel's over the yardstick's with one index."""
        return median(self._ratios(lambda one: one.cpu, self.bare))

    @property
    def is_reached(self) -> bool:
        """Whether the goals are."""
        workload = self.workload
        if workload.alone:
            return self.ratio <= workload.goal
        least = workload.goal_indexed or 0
        return self.ratio >= workload.goal and self.indexed_ratio >= least

    def _measure(self, one: Measured) -> float:
        return one.round.p50 if self.workload.alone else one.rate

    def _ratios(
        self, figure: Callable[[Measured], float], others: Sequence[Measured]
    ) -> list[float]:
        pairs = zip(map(figure, self.satchel), map(figure, others), strict=True)
        return [ours / theirs if theirs else math.nan for ours, theirs in pairs]

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "title": self.workload.title,
            "goal": self.workload.goal,
            "ratio": _rounded(self.ratio, 3),
            "ratios": [_rounded(ratio, 3) for ratio in self.ratios],
            "goalIndexed": self.workload.goal_indexed,
            "ratioIndexed": _rounded(self.indexed_ratio, 3),
            "p99Ratio": _rounded(self.p99_ratio, 3),
            "cpuRatio": _rounded(self.cpu_ratio, 3),
            "satchel": _figures(self.satchel),
            "bare": _figures(self.bare),
            "indexed": _figures(self.indexed),
        }


_FIGURES: Final[dict[str, Callable[[Measured], float]]] = {
    "operationsPerSecond": lambda one: one.rate,
    "p50": lambda one: one.round.p50,
    "p95": lambda one: one.round.p95,
    "p99": lambda one: one.round.p99,
    "cpuMicroseconds": lambda one: one.cpu,
    "mongodMicroseconds": lambda one: one.database_cpu,
}


def machine(mongodb: str) -> dict[str, Any]:
    """Where this was measured: processor, cores, load before the run, versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "mongodb": mongodb,
        **{name: version(name) for name in _PACKAGES},
    }


def tables(comparisons: Sequence[Comparison], where: dict[str, Any], console: Console) -> None:
    """Print a table per workload and a line about the machine."""
    for comparison in comparisons:
        console.print(_table(comparison))
    versions = ", ".join(f"{name} {where[name]}" for name in ("python", "mongodb", *_PACKAGES))
    console.print(
        f"{where['processor']}, {where['cores']} cores, load before {where['load']}; {versions}"
    )
    console.print(
        "Satchel: as `make run` starts it, worker included. Bare: the query alone, with one index,"
        " and with all of ours. Medians over the rounds."
    )


def _table(comparison: Comparison) -> Table:
    workload = comparison.workload
    colour = "green" if comparison.is_reached else "red"
    spread = f"{min(comparison.ratios):.2f} to {max(comparison.ratios):.2f}"
    goals = f"goal {workload.goal}" + (
        f", with all {workload.goal_indexed}" if workload.goal_indexed else ""
    )
    table = Table(
        title=f"{workload.title}: [{colour}]{comparison.ratio:.2f}[/] of bare ({spread}; {goals})",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("")
    for name in ("ops/s", "p50 ms", "p95 ms", "p99 ms", "CPU µs", "mongod µs"):
        table.add_column(name, justify="right")
    servers = {"Satchel": comparison.satchel, "bare": comparison.bare}
    for server, rounds in (servers | {"bare, all indexes": comparison.indexed}).items():
        rate, p50, p95, p99, cpu, database = _figures(rounds).values()
        cells = (f"{rate:,.0f}", f"{p50:.2f}", f"{p95:.2f}", f"{p99:.2f}")
        table.add_row(server, *cells, _whole(cpu), _whole(database))
    ratio = f"{comparison.ratio:.2f} ({comparison.indexed_ratio:.2f})"
    ratios = (f"{comparison.p99_ratio:.2f}", f"{comparison.cpu_ratio:.2f}")
    table.add_row("ratio (all)", ratio, "", "", *ratios, "", style="bold")
    return table


def _figures(rounds: Sequence[Measured]) -> dict[str, float | None]:
    return {
        name: _rounded(median(figure(one) for one in rounds), 2)
        for name, figure in _FIGURES.items()
    }


def _rounded(number: float, digits: int) -> float | None:
    """None for what could not be measured, which JSON has no number for."""
    return round(number, digits) if math.isfinite(number) else None


def _whole(number: float | None) -> str:
    return "-" if number is None else f"{number:,.0f}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
