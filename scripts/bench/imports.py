"""`python -m scripts bench-import`: what does it cost to bring people in, against a bare
`insert_many` of the same documents?"""

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import orjson
import typer
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase
from rich.console import Console
from rich.progress import Progress

from app.app_data.quotas import Rooms
from app.apps.registry import AppRegistry
from app.database import bind, connect
from app.people.apps import Apps
from app.people.importing import Importer
from app.people.lines import MOST_LINES
from app.people.streaming import import_stream
from app.settings import Settings
from indexes.sync import apply, plan
from models.base import Raw
from scripts.bench.processes import cpu_seconds, end_at_sigterm
from scripts.bench.report import machine
from scripts.mongod import MongodError, start_mongod

GOAL: Final = 2000.0
"""People a second of CPU time, of the importing process and of MongoDB together."""
VALUES: Final = 3
KINDS: Final = ("users", "profiles", "preferences", "authidentities", "appdata")
Database = AsyncDatabase[Raw]


def main(
    people: Annotated[
        int, typer.Option(min=100, max=100_000, help="People of one round of each.")
    ] = 2000,
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Rounds of each.")] = 5,
) -> None:
    """Import people with three values each, and insert the same documents bare, in turns. Exits 1
    where the goal is missed."""
    end_at_sigterm()
    try:
        found = _measure(people, rounds)
    except MongodError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(found, indent=2))
    if found["import"]["peoplePerCpuSecond"] < GOAL:
        raise typer.Exit(1)


def _measure(people: int, rounds: int) -> dict[str, Any]:
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        task = progress.add_task("Measuring ...", total=2 * (rounds + 1))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
        mongod = stack.enter_context(start_mongod(folder))
        settings = Settings.model_validate({"mongodb_uri": mongod.uri, "data_dir": folder})
        bench = _Bench(settings, mongod.uri, mongod.process.pid, people)
        return asyncio.run(bench.run(rounds, lambda: progress.advance(task)))


class _Bench:
    """Both ways, on one MongoDB, in databases with the same indexes."""

    def __init__(self, settings: Settings, uri: str, mongod: int, people: int) -> None:
        self.settings, self.uri, self.mongod, self.people = settings, uri, mongod, people

    async def run(self, rounds: int, step: Callable[[], object]) -> dict[str, Any]:
        """Rounds in turns, the other first every second time; the first of each warms up."""
        async with connect(self.settings, self.uri, bounded=False) as client:
            bare = await bind(client, self.settings.model_copy(update={"database": "bare"}))
            await apply(bare, await plan(bare))
            ours = await bind(client, self.settings)
            await apply(ours, await plan(ours))
            version = str((await client.server_info())["version"])
            found: list[list[Raw]] = [[], []]
            for number in range(-1, rounds):
                for which in (0, 1) if number % 2 else (1, 0):
                    measured = await (self._bare if which else self._ours)(ours, bare, number)
                    found[which] += [measured] if number >= 0 else []
                    step()
        ratios = [b["seconds"] / a["seconds"] for a, b in zip(*found, strict=True)]
        return {
            "machine": machine(version),
            "people": self.people,
            "valuesEach": VALUES,
            "import": _shown(found[0], self.people),
            "bareInsertMany": _shown(found[1], self.people),
            "rateAgainstBare": round(median(ratios), 2),
            "goal": {"peoplePerCpuSecond": GOAL},
        }

    async def _ours(self, ours: Database, _: Database, number: int) -> Raw:
        """NDJSON in requests of a thousand lines, as the route takes it."""
        lines = [_line(number, each) for each in range(self.people)]
        apps = Apps(AppRegistry(self.settings), Rooms())

        async def work() -> None:
            for start in range(0, len(lines), MOST_LINES):
                await _import(Importer(apps, "bench"), lines[start : start + MOST_LINES])

        measured = await self._timed(work)
        names = {"email": {"$regex": f"^p{number + 1}-"}}
        stored = await ours["users"].count_documents(names)
        assert stored == self.people, f"{stored} of {self.people} are stored"
        return measured

    async def _bare(self, ours: Database, bare: Database, number: int) -> Raw:
        """The documents that an import has stored, of other people, a thousand a command."""
        documents = await self._documents(ours, number)

        async def work() -> None:
            for kind in KINDS:
                for start in range(0, len(documents[kind]), 1000):
                    rows = documents[kind][start : start + 1000]
                    await bare[kind].insert_many(rows, ordered=False)

        return await self._timed(work)

    async def _documents(self, ours: Database, number: int) -> dict[str, list[Raw]]:
        """What is stored of as many people, with ids and emails of their own."""
        if await ours["users"].count_documents({}) == 0:
            lines = [_line(-2, each) for each in range(self.people)]
            apps = Apps(AppRegistry(self.settings), Rooms())
            for start in range(0, len(lines), MOST_LINES):
                await _import(Importer(apps, "bench"), lines[start : start + MOST_LINES])
        users = await ours["users"].find({}).sort("_id", 1).limit(self.people).to_list()
        ids = {row["_id"]: ObjectId() for row in users}
        found = {"users": [_anew(row, number) | {"_id": ids[row["_id"]]} for row in users]}
        for kind in KINDS[1:]:
            rows = await ours[kind].find({"userId": {"$in": list(ids)}}).to_list()
            found[kind] = [
                _anew(row, number) | {"_id": ObjectId(), "userId": ids[row["userId"]]}
                for row in rows
            ]
        return found

    async def _timed(self, work: Callable[[], Awaitable[None]]) -> Raw:
        """Seconds by the clock, and of CPU: of this process and of MongoDB."""
        before = (time.perf_counter(), _own_cpu(), cpu_seconds(self.mongod))
        await work()
        after = (time.perf_counter(), _own_cpu(), cpu_seconds(self.mongod))
        names = ("seconds", "process", "mongod")
        return {name: b - a for name, a, b in zip(names, before, after, strict=True)}


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _anew(row: Raw, number: int) -> Raw:
    """A document with the values that are unique made others."""
    unique = {name: f"{number}-{row[name]}" for name in ("email", "providerId") if name in row}
    return row | unique


def _line(number: int, each: int) -> bytes:
    value = {"title": f"Note {each}", "body": "ten years of notes " * 8, "tags": ["a", "b"]}
    keys = [{"appId": "notes", "dataKey": f"k{key}", "value": value} for key in range(VALUES)]
    user = {"email": f"p{number + 1}-{each}@example.com", "name": f"Person {each}"}
    profile = {"bio": "Boats and birds.", "metadata": {"plan": "free"}}
    return orjson.dumps({"user": user, "verified": ["email"], "profile": profile, "appData": keys})


async def _import(importer: Importer, lines: list[bytes]) -> None:
    async def parts() -> AsyncIterator[bytes]:
        body = b"\n".join(lines)
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    async for result in import_stream(importer, parts()):
        assert result["status"] == "created", result


def _shown(rounds: list[Raw], people: int) -> dict[str, float]:
    def each(name: str) -> float:
        return float(median(found[name] for found in rounds))

    return {
        "peoplePerSecond": round(people / each("seconds")),
        "peoplePerCpuSecond": round(people / (each("process") + each("mongod"))),
        "processMicroseconds": round(1e6 * each("process") / people),
        "mongodMicroseconds": round(1e6 * each("mongod") / people),
    }
