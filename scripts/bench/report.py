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
from scripts.bench.traffic import WORKLOADS

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
    """The rounds of one workload, in pairs: the n-th of Satchel ran next to the n-th of the bare
    handler."""

    name: str
    satchel: Sequence[Measured]
    bare: Sequence[Measured]

    @property
    def ratios(self) -> list[float]:
        """Throughput of Satchel over the bare handler's, pair by pair."""
        return [a.rate / b.rate for a, b in zip(self.satchel, self.bare, strict=True)]

    @property
    def cpu_ratio(self) -> float:
        """Median of CPU time per request, Satchel's over the bare handler's."""
        return median(
            a.cpu / b.cpu if b.cpu else math.nan
            for a, b in zip(self.satchel, self.bare, strict=True)
        )

    @property
    def ratio(self) -> float:
        """The median of `ratios`."""
        return median(self.ratios)

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "title": WORKLOADS[self.name].title,
            "goal": WORKLOADS[self.name].goal,
            "ratio": _rounded(self.ratio, 3),
            "ratios": [_rounded(ratio, 3) for ratio in self.ratios],
            "cpuRatio": _rounded(self.cpu_ratio, 3),
            "satchel": _figures(self.satchel),
            "bare": _figures(self.bare),
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
        "Satchel: caller, validation, metrics, request log. Bare: the query alone. Medians over the"
        " rounds."
    )


def _table(comparison: Comparison) -> Table:
    workload = WORKLOADS[comparison.name]
    reached = "green" if comparison.ratio >= workload.goal else "red"
    spread = f"{min(comparison.ratios):.2f} to {max(comparison.ratios):.2f}"
    table = Table(
        title=(
            f"{workload.title}: [{reached}]{comparison.ratio:.2f}[/] of bare ({spread}; goal"
            f" {workload.goal})"
        ),
        title_justify="left",
        title_style="bold",
    )
    table.add_column("")
    for name in ("ops/s", "p50 ms", "p95 ms", "p99 ms", "CPU µs", "mongod µs"):
        table.add_column(name, justify="right")
    for server, rounds in (("Satchel", comparison.satchel), ("bare", comparison.bare)):
        rate, p50, p95, p99, cpu, database = _figures(rounds).values()
        table.add_row(
            server,
            f"{rate:,.0f}",
            f"{p50:.2f}",
            f"{p95:.2f}",
            f"{p99:.2f}",
            _whole(cpu),
            _whole(database),
        )
    table.add_row(
        "ratio",
        f"{comparison.ratio:.2f}",
        "",
        "",
        "",
        f"{comparison.cpu_ratio:.2f}",
        "",
        style="bold",
    )
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
