"""`python -m scripts bench-idle`: what does a Satchel ask of its database when nobody asks anything
of it?

And are jobs begun in time all the same, that another process makes? Server, workers and MongoDB are
processes of their own, as `make run` has them.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Annotated, Any, Final

import typer
from bson import ObjectId
from pymongo import MongoClient
from rich.console import Console
from rich.progress import Progress

from app.database import bind, connect
from app.settings import Settings
from indexes.sync import apply, plan
from models.base import Raw, now
from models.job import Job
from scripts.bench.ground import Ground, faults_told
from scripts.bench.processes import (
    BenchError,
    cpu_seconds,
    end_at_sigterm,
    stop,
)
from scripts.bench.report import machine
from scripts.children import Child
from scripts.migrate import take_steps
from scripts.mongod import Embedded

GOALS: Final = {"operationsPerSecond": 1.0, "lateP95": 1.0}
_SETTLE: Final = 25.0
"""Seconds until what a start brings along is over."""
_COUNTED: Final = ("insert", "query", "update", "delete", "getmore", "command")
_KIND: Final = (
    "sweep-deletion"  # of a deletion that is not there: nothing is done but to begin and end it
)


def main(
    seconds: Annotated[
        float, typer.Option(min=5, max=3600, help="How long operations are counted.")
    ] = 60,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Workers beside the server.")] = 1,
    jobs: Annotated[
        int, typer.Option(min=10, max=1000, help="Jobs that are made to see how late they begin.")
    ] = 100,
) -> None:
    """Count operations and CPU of an idle Satchel, then how late jobs begin. Exits 1 where a goal
    is missed."""
    end_at_sigterm()
    with faults_told():
        found = _measure(seconds, workers, jobs)
    typer.echo(json.dumps(found, indent=2))
    if any(found[name] >= goal for name, goal in found["goals"].items()):
        raise typer.Exit(1)


def _measure(seconds: float, workers: int, jobs: int) -> dict[str, Any]:
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        task = progress.add_task("Starting ...", total=None)
        ground = Ground.lay(stack, environment="development")
        asyncio.run(_prepare(ground.settings, ground.mongod.uri))
        pids = {"server": ground.serve(http="auto").process.pid}
        pids["mongod"] = ground.mongod.process.pid
        for number in range(workers):
            child = _worker(stack, number, ground.variables, ground.folder)
            pids[f"worker{number}"] = child.process.pid
        where = machine("")
        progress.update(task, description="Settling ...")
        time.sleep(_SETTLE)
        progress.update(task, description="Counting ...")
        counted = _count(ground.mongod, pids, seconds)
        progress.update(task, description="Making jobs ...")
        late = asyncio.run(_lateness(ground.settings, ground.mongod.uri, jobs))
        told = {"machine": where, "workers": workers, "seconds": seconds}
        return {**told, **counted, **late, "goals": _goals(workers)}


def _goals(workers: int) -> dict[str, float]:
    """Less than one operation a second, for each worker."""
    return GOALS | {"operationsPerSecond": GOALS["operationsPerSecond"] * workers}


async def _prepare(settings: Settings, uri: str) -> None:
    async with connect(settings, uri, bounded=False) as client:
        database = await bind(client, settings)
        await apply(database, await plan(database))
        await take_steps(database)


def _worker(stack: ExitStack, number: int, variables: dict[str, str], folder: Path) -> Child:
    child = Child.start(
        f"worker{number}", ["worker"], environment=variables, log=folder / f"worker{number}.log"
    )
    stack.callback(stop, child.process)
    return child


def _count(mongod: Embedded, pids: dict[str, int], seconds: float) -> dict[str, Any]:
    """Operations a second by kind, without the one by which they are counted, and shares of a
    core."""
    with MongoClient[Raw](
        mongod.uri, serverMonitoringMode="poll", heartbeatFrequencyMS=3_600_000
    ) as client:
        client.admin.command("ping")
        began, before, used = time.monotonic(), _operations(client), _cpu(pids)
        time.sleep(seconds)
        took, after, then = time.monotonic() - began, _operations(client), _cpu(pids)
    after["command"] -= 1
    rates = {name: round((after[name] - before[name]) / took, 3) for name in _COUNTED}
    shares = {name: round(100 * (then[name] - used[name]) / took, 2) for name in pids}
    return {
        "operationsPerSecond": round(sum(rates.values()), 3),
        "operations": rates,
        "cpuPercent": shares,
    }


def _operations(client: MongoClient[Raw]) -> dict[str, int]:
    counters = client.admin.command("serverStatus")["opcounters"]
    return {name: int(counters[name]) for name in _COUNTED}


def _cpu(pids: dict[str, int]) -> dict[str, float]:
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


async def _lateness(settings: Settings, uri: str, jobs: int) -> dict[str, Any]:
    """Make jobs one by one, due at once or some seconds ahead; how many seconds after that each was
    done."""
    async with connect(settings, uri, bounded=False) as client:
        await bind(client, settings)
        ids = []
        for number in range(jobs):
            await asyncio.sleep(random.uniform(0.1, 0.7))
            ahead = timedelta(seconds=random.uniform(0, 5) if number % 2 else 0)
            job = Job(id=ObjectId(), kind=_KIND, run_at=now() + ahead)
            await job.add()
            ids.append(job.id)
        late = await _late(ids)
    cuts = quantiles(late, n=20)
    return {
        "jobs": jobs,
        "lateP50": round(cuts[9], 3),
        "lateP95": round(cuts[18], 3),
        "lateMax": round(max(late), 3),
    }


async def _late(ids: Sequence[Any]) -> list[float]:
    deadline = time.monotonic() + 60
    done = {"_id": {"$in": list(ids)}, "state": "done"}
    while (found := await Job.raw().count_documents(done)) < len(ids):
        if time.monotonic() > deadline:
            raise BenchError(
                f"{len(ids) - found} of {len(ids)} jobs were not done a minute after the last was"
                " made"
            )
        await asyncio.sleep(0.5)
    rows = await Job.raw().find(done, {"runAt": 1, "lastRunAt": 1}).to_list()
    return [_seconds(row["lastRunAt"], row["runAt"]) for row in rows]


def _seconds(later: datetime, earlier: datetime) -> float:
    return (later - earlier).total_seconds()
