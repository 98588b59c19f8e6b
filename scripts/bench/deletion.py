"""`python -m scripts bench-deletion`: a user with a million documents is deleted among other
people's requests, while the worker that sweeps is killed again and again.
"""

import asyncio
import random
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import httpx2
import typer
from bson import ObjectId
from rich.console import Console
from rich.progress import Progress

from app.analytics.rollup.advance import advance
from app.database import bind, connect
from app.settings import Settings
from models import Activity, Analytics, Deletion, User
from models.analytics import AnalyticsContent
from models.api_key import ApiKey, ApiKeyContent
from models.base import Raw, now
from scripts.bench.data import fill
from scripts.bench.ground import Ground
from scripts.bench.processes import (
    BenchError,
    LoadGenerator,
    Server,
    memory_of,
    start_module,
    stop,
)

_WORKLOAD: Final = "mix"
_CHUNK: Final = 10_000
_SPAN: Final = timedelta(days=30)
_NAMES: Final = 20


@dataclass(slots=True)
class Worker:
    """The process that sweeps, started anew after each kill; `peaks` are the most memory that each
    one took, in MiB."""

    variables: dict[str, str]
    log: Path
    peaks: list[float] = field(default_factory=list)
    idle: float = 0.0
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start one."""
        with self.log.open("ab") as output:
            self.process = start_module(
                "scripts", "worker", output=output, environment=self.variables
            )

    def settle(self) -> None:
        """Take what it has now for its memory without a deletion, and measure its peak from here
        on."""
        assert self.process is not None
        self.idle = self._memory("VmRSS")
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak(self) -> float:
        """The most memory that it has taken, in MiB, since `settle` or its start."""
        return self._memory("VmHWM")

    def _memory(self, name: str) -> float:
        assert self.process is not None
        found = memory_of(self.process.pid, name)
        if found is None:
            raise BenchError("the worker has ended by itself")
        return found

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.peaks.append(self.peak())
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Let it go."""
        if self.process is not None and self.process.poll() is None:
            self.peaks.append(self.peak())
            stop(self.process)


def main(
    documents: Annotated[
        int, typer.Option(min=1000, help="Activities and events of the user, half of each.")
    ] = 1_000_000,
    kills: Annotated[
        int, typer.Option(min=0, help="How often the worker is killed on the way.")
    ] = 10,
    connections: Annotated[
        int, typer.Option(min=1, max=64, help="Requests of others under way at any time.")
    ] = 4,
    seconds: Annotated[float, typer.Option(min=0.2, help="Length of one round of requests.")] = 1.0,
) -> None:
    """Delete a user of any size among other people's requests. Exits 1 where something is lost or
    left."""
    with ExitStack() as stack:
        found = _measure(stack, documents, kills, connections, seconds)
    found.tell(documents)
    half = documents // 2
    counted = (found.counted.get("activities"), found.counted.get("analytics"))
    if found.left or counted != (half, documents - half):
        raise typer.Exit(1)


def _measure(
    stack: ExitStack, documents: int, kills: int, connections: int, seconds: float
) -> "Found":
    ground = Ground.lay(stack, token_lifetime_seconds=3600, deletion_fence_seconds=5)
    settings, uri = ground.settings, ground.mongod.uri
    plan, _ = asyncio.run(fill(settings, uri, connections))
    with Progress(console=Console(stderr=True), transient=True) as bar:
        user_id, key = asyncio.run(_crowd(settings, uri, documents, bar))
    server, load = ground.serve(http="auto"), ground.load(plan)
    worker = Worker(ground.variables, ground.folder / "worker.log")
    stack.callback(worker.end)
    worker.start()
    load.play(server, _WORKLOAD, 1.0)
    quiet = [load.play(server, _WORKLOAD, seconds).p99 for _ in range(10)]
    worker.settle()
    started = time.monotonic()
    status = _ask(server, user_id, key)
    run = Run(worker, server, load, settings, uri, user_id)
    busy = list(run.until_swept(kills, seconds)) if status == 202 else []
    took = time.monotonic() - started
    worker.end()
    return Found(status, took, worker, quiet, busy, *asyncio.run(_outcome(settings, uri, user_id)))


def _ask(server: Server, user_id: ObjectId, key: str) -> int:
    """Have the user deleted; how that was answered."""
    url = f"http://127.0.0.1:{server.port}/v1/users/{user_id}"
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.delete(url, headers=headers, timeout=60).status_code


@dataclass(frozen=True, slots=True)
class Found:
    """What came of the deletion, and what others noticed of it.

    Attributes:
        status: that it was answered with.
        took: seconds until it was swept.
        worker: that swept.
        quiet: p99 of the rounds before, in milliseconds.
        busy: and of those meanwhile.
        left: documents of the user.
        counted: by the receipt.
    """

    status: int
    took: float
    worker: Worker
    quiet: list[float]
    busy: list[float]
    left: int
    counted: Raw

    def tell(self, documents: int) -> None:
        """Print it."""
        growth = max(self.worker.peaks) - self.worker.idle
        quiet = statistics.median(self.quiet)
        ratio = statistics.median(self.busy) / quiet if self.busy else float("nan")
        print(
            f"documents of the user   {documents:,}; DELETE answered {self.status}; swept after"
            f" {self.took:.1f} s"
        )
        print(f"kills of the worker     {len(self.worker.peaks) - 1}")
        print(f"left of the user        {self.left}; counted by the receipt: {self.counted}")
        print(f"worker's memory         {self.worker.idle:.0f} MiB idle, {growth:+.0f} MiB at most")
        print(
            f"p99 of others           {ratio:.2f} of the quiet one ({quiet:.1f} ms), medians of"
            " rounds"
        )


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that runs while the sweep goes on."""

    worker: Worker
    server: Server
    load: LoadGenerator
    settings: Settings
    uri: str
    user_id: ObjectId

    def until_swept(self, kills: int, seconds: float) -> Iterator[float]:
        """Play rounds until the sweep is over, killing the worker between them; the p99 of each in
        milliseconds.

        Rounds in which nothing was swept, since a killed worker's lease was running out, are played
        and not given.
        """
        left = asyncio.run(self._left())
        while left is not None:
            p99, before = self.load.play(self.server, _WORKLOAD, seconds).p99, left
            left = asyncio.run(self._left())
            if left != before:
                yield p99
                if len(self.worker.peaks) < kills:
                    time.sleep(random.uniform(0, 0.2))
                    self.worker.kill()
                    self.worker.start()

    async def _left(self) -> int | None:
        """How many documents the receipt has counted so far, None once the sweep is over."""
        async with connect(self.settings, self.uri, bounded=False) as client:
            await bind(client, self.settings)
            ledger = await Deletion.find_by_id(self.user_id)
        return None if ledger is None or ledger.swept else sum(ledger.deleted.values())


def _activities(user_id: ObjectId, count: int) -> Iterator[Raw]:
    row = Activity(user_id=user_id, app_id="bench", event_type="t").stored()
    return ({name: value for name, value in row.items() if name != "_id"} for _ in range(count))


def _events(user_id: ObjectId, count: int) -> Iterator[Raw]:
    """Events of the last thirty days, each received when it happened."""
    start = now() - _SPAN
    for number in range(count):
        content = AnalyticsContent(
            app_id="bench",
            event_name=f"e{number % _NAMES}",
            event_category="custom",
            session_id=f"s{number // 100}",
        )
        yield Analytics.row(content, user_id, start + _SPAN * number / count)


async def _crowd(
    settings: Settings, uri: str, documents: int, bar: Progress
) -> tuple[ObjectId, str]:
    """A user with that many documents, whose events are in the rollups, and an admin key."""
    async with connect(settings, uri, bounded=False) as client:
        await bind(client, settings)
        user = await User().add()
        user_id = ObjectId(user.id)
        task = bar.add_task("Filling ...", total=documents)
        halves = (
            (Activity, _activities(user_id, documents // 2)),
            (Analytics, _events(user_id, documents - documents // 2)),
        )
        for document, rows in halves:
            while some := list(islice(rows, _CHUNK)):
                await document.raw().insert_many(some, ordered=False)
                bar.advance(task, len(some))
        task = bar.add_task("Rolling up ...", total=documents - documents // 2)
        while added := await advance(timedelta(0)):
            bar.advance(task, added)
        key, secret = ApiKey.issue(ApiKeyContent(name="bench-deletion", scopes=["admin"]))
        await key.add()
        return user_id, secret


async def _outcome(settings: Settings, uri: str, user_id: ObjectId) -> tuple[int, dict[str, int]]:
    async with connect(settings, uri, bounded=False) as client:
        await bind(client, settings)
        counts = [
            await document.raw().count_documents({"userId": user_id})
            for document in (Activity, Analytics)
        ]
        ledger = await Deletion.find_by_id(user_id)
        return sum(counts), ledger.deleted if ledger else {}
