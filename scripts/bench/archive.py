"""`python -m scripts bench-archive`: a day of so many events is archived by the worker and restored
by the command.

The sizes follow one another, each in a database of its own. Meanwhile events come in, and the
worker that archives rolls them up as well: how far it falls behind, and the most memory that each
process took, is what is measured.
"""

import asyncio
import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import typer
from pymongo import MongoClient
from pymongo.database import Database
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from app.analytics.rollup.advance import advance
from app.settings import Settings
from models.base import Raw
from scripts.bench.data import sizes_of
from scripts.bench.ground import faults_told
from scripts.bench.large_day import APP, CHUNK, Live, midnight, plant
from scripts.bench.processes import (
    BenchError,
    end_at_sigterm,
    environment,
    memory_of,
    start_module,
    stop,
)
from scripts.bench.report import machine
from scripts.mongod import start_mongod
from scripts.target import opened

SIZES: Final = "100000,1000000"
_GOAL_MB, _GOAL_LAG, _GOAL_GROWTH = 300.0, 30.0, 1.25
_WINDOW: Final = 20_000
_TRAIL: Final = Settings.model_fields["analytics_trail_seconds"].default
_JOB: Final = "archive-analytics"


@dataclass(slots=True)
class Phase:
    """Archiving, or restoring: how long it took, the process's most memory, the furthest that
    rollups were behind."""

    seconds: float = 0.0
    megabytes: float = 0.0
    lag: float = 0.0


@dataclass(slots=True)
class Run:
    """What was measured of one size."""

    events: int
    idle: float = 0.0
    files: int = 0
    bytes: int = 0
    archive: Phase = field(default_factory=Phase)
    restore: Phase = field(default_factory=Phase)

    def row(self) -> Raw:
        """For JSON."""
        rates = {
            "archivedPerSecond": round(self.events / self.archive.seconds),
            "restoredPerSecond": round(self.events / self.restore.seconds),
        }
        return asdict(self) | rates


def main(
    sizes: Annotated[
        str,
        typer.Option(help="Events of the day, growing, separated by commas; 10000000 takes hours."),
    ] = SIZES,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Archive and restore a large day while events come in. Exits 1 where a goal is missed."""
    asked = sizes_of(sizes)
    end_at_sigterm()
    with faults_told(), Progress(console=Console(stderr=True), transient=True) as progress:
        where = machine("embedded")
        runs = [_measure(size, progress) for size in asked]
    if as_json:
        typer.echo(json.dumps({"machine": where, "runs": [run.row() for run in runs]}, indent=2))
    else:
        _print(runs, where)
    if any(missed for _, missed in _goals(runs)):
        raise typer.Exit(1)


def _measure(size: int, progress: Progress) -> Run:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
        bench = _Bench(folder, stack, progress, Run(size))
        bench.prepare(size)
        bench.archive()
        bench.restore()
        return bench.run


class _Bench:
    """One size: a database, the worker, and whoever sends events meanwhile."""

    def __init__(self, folder: Path, stack: ExitStack, progress: Progress, run: Run) -> None:
        self.folder, self.progress, self.run = folder, progress, run
        mongod = stack.enter_context(start_mongod(folder))
        chosen: dict[str, Any] = {
            "mongodb_uri": mongod.uri,
            "data_dir": folder,
            "analytics_archive": str(folder / "archive"),
            "analytics_retention_days": 5,
            "log_level": "warning",
        }
        self.variables = environment(list(chosen.items()))
        self.uri, self.settings = mongod.uri, Settings.model_validate(chosen)
        client = stack.enter_context(MongoClient[Raw](self.uri, tz_aware=True))
        self.database: Database[Raw] = client[self.settings.database]
        self.day = midnight() - timedelta(days=10)
        self.stack = stack

    def prepare(self, size: int) -> None:
        """Plant the day, sealed as if all knew for long and rolled up to now; and have a worker."""
        name = f"{size:,}: planting"
        task = self.progress.add_task(name, total=size)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
            starts = range(0, size, CHUNK)
            for written in pool.map(
                plant,
                *zip(
                    *((self.uri, self.database.name, self.day, size, s) for s in starts),
                    strict=True,
                ),
            ):
                self.progress.advance(task, written)
        self.progress.update(task, description=f"{size:,}: building indexes", total=None)
        self._command("indexes", "apply")
        self._command("migrate")
        self.progress.update(task, description=f"{size:,}: rolling up", total=size, completed=0)
        asyncio.run(self._roll_up(task))
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        common = {"createdAt": long_ago, "updatedAt": long_ago, "version": 1}
        self.database.analyticsseals.insert_one(
            {"_id": APP, "sealedTo": midnight() - timedelta(days=5), **common}
        )
        job = {
            "_id": _JOB,
            "kind": _JOB,
            "runAt": _far(),
            "everySeconds": 3600.0,
            "fence": 0,
            "attempts": 0,
        }
        self.database.jobs.insert_one({**job, "state": "due", "progress": {}, **common})
        self.progress.remove_task(task)

    async def _roll_up(self, task: TaskID) -> None:
        async with opened(self.settings, uri=self.uri):
            while added := await advance(timedelta(0), _WINDOW):
                self.progress.advance(task, added)

    def archive(self) -> None:
        """Have the worker archive the day."""
        worker = self.stack.enter_context(
            _process("worker", variables=self.variables, folder=self.folder)
        )
        live = self.stack.enter_context(Live(self.database))
        self._wait("starting", lambda: live.rolled_up, worker)
        self.run.idle = memory_of(worker.pid) or 0.0
        live.lag = 0.0
        started = time.monotonic()
        self.database.jobs.update_one({"_id": _JOB}, {"$set": {"runAt": datetime.now(UTC)}})
        days = self.database.archiveddays
        self._wait("archiving", lambda: days.count_documents({"removed": True}) == 1, worker)
        self.run.archive = Phase(
            time.monotonic() - started, memory_of(worker.pid, "VmHWM") or 0.0, live.lag
        )
        row = days.find_one({}) or {}
        self.run.files, self.run.bytes = len(row["parts"]), row["bytes"]
        if row["rows"] != self.run.events or self._of_the_day():
            raise BenchError(
                f"{row['rows']} events are archived, and {self._of_the_day()} are left"
            )
        self.live = live

    def restore(self) -> None:
        """Have the command restore it; the worker rolls up meanwhile."""
        self.live.lag, started = 0.0, time.monotonic()
        command = ("archive", "restore", APP, f"{self.day:%Y-%m-%d}")
        peak = 0.0
        with _process(*command, variables=self.variables, folder=self.folder) as process:
            while process.poll() is None:
                peak = max(peak, memory_of(process.pid, "VmHWM") or 0.0)
                time.sleep(0.02)
            if process.returncode:
                raise BenchError((self.folder / "archive.log").read_text()[-2000:])
        self.run.restore = Phase(time.monotonic() - started, peak, self.live.lag)
        if self._of_the_day() != self.run.events:
            raise BenchError(f"{self._of_the_day()} of {self.run.events} events are back")

    def _of_the_day(self) -> int:
        span = {"$gte": self.day, "$lt": self.day + timedelta(days=1)}
        return self.database.analytics.count_documents({"appId": APP, "timestamp": span})

    def _command(self, *arguments: str) -> None:
        with _process(*arguments, variables=self.variables, folder=self.folder) as process:
            if process.wait():
                raise BenchError((self.folder / f"{arguments[0]}.log").read_text()[-2000:])

    def _wait(self, what: str, holds: Any, worker: "subprocess.Popen[bytes]") -> None:
        task = self.progress.add_task(f"{self.run.events:,}: {what}", total=None)
        while not holds():
            if worker.poll() is not None:
                raise BenchError((self.folder / "worker.log").read_text()[-2000:])
            time.sleep(0.2)
        self.progress.remove_task(task)


@contextmanager
def _process(
    name: str, *arguments: Any, variables: dict[str, str], folder: Path
) -> "Iterator[subprocess.Popen[bytes]]":
    with (folder / f"{name}.log").open("ab") as output:
        process = start_module("scripts", name, *arguments, output=output, environment=variables)
    try:
        yield process
    finally:
        stop(process)


def _far() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=9)  # nearer than what a worker pulls in


def _goals(runs: list[Run]) -> Iterator[tuple[str, bool]]:
    """Each goal as it was met or missed, and whether it was missed."""
    peak = max(max(run.archive.megabytes, run.restore.megabytes) for run in runs)
    yield f"most memory {peak:.0f} MB (goal below {_GOAL_MB:.0f})", peak >= _GOAL_MB
    lag = max(max(run.archive.lag, run.restore.lag) for run in runs)
    goal = f"goal below {_GOAL_LAG:.0f}; they stay {_TRAIL:.0f} behind in any case"
    yield f"rollups behind by {lag:.1f} s at most ({goal})", lag >= _GOAL_LAG
    for name in ("archive", "restore"):
        growth = getattr(runs[-1], name).megabytes / getattr(runs[0], name).megabytes
        said = (
            f"{name}: memory grew {growth:.2f} times from {runs[0].events:,} to {runs[-1].events:,}"
            " events"
        )
        yield f"{said} (goal below {_GOAL_GROWTH})", growth >= _GOAL_GROWTH


def _print(runs: list[Run], where: dict[str, Any]) -> None:
    console = Console(width=120)
    table = Table("events", "", title="A large day", title_justify="left")
    for heading in ("seconds", "events/s", "peak MB", "rollups behind s", "files", "MB"):
        table.add_column(heading, justify="right")
    for run in runs:
        for name, phase in (("archive", run.archive), ("restore", run.restore)):
            figures = (
                f"{phase.seconds:.1f}",
                f"{run.events / phase.seconds:,.0f}",
                f"{phase.megabytes:.0f}",
            )
            more = (f"{phase.lag:.1f}", f"{run.files}", f"{run.bytes / 1e6:.1f}")
            table.add_row(f"{run.events:,}", name, *figures, *more)
    console.print(table)
    for said, missed in _goals(runs):
        console.print(f"[{'red' if missed else 'green'}]{said}[/]")
    console.print(f"The worker that rolls up took {runs[-1].idle:.0f} MB before.")
    console.print(f"{where['processor']}, {where['cores']} cores, load before {where['load']}")
