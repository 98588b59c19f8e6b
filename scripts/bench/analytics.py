"""`python -m scripts bench-analytics`: the dashboards' queries at growing sizes, against plain aggregation over raw."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import httpx
import typer
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.analytics.rollup import advance
from app.database import bind, connect
from app.main import create_app
from app.settings import Settings
from indexes import sync
from models.analytics import Analytics
from models.api_key import ApiKey, ApiKeyContent
from models.base import Raw, rfc3339
from scripts.bench.report import machine
from scripts.mongod import MongodError, start_mongod

SIZES: Final = "100000,1000000"
_APP: Final = "bench"
_DAYS: Final = 30
_PEOPLE: Final = 20_000
_CATEGORIES: Final = ("engagement", "conversion", "error", "custom")
_NAMES: Final = [(f"event_{number}", _CATEGORIES[number % 4]) for number in range(20)]
_CHUNK: Final = 5000
_GOAL_GROWTH, _GOAL_MS = 1.2, 50.0
_AT_A_TIME: Final = 10
Query = tuple[str, str, Raw, Callable[[], Awaitable[list[Raw]]]]


@dataclass(slots=True)
class Timed:
    """The milliseconds of one query at one size, and of the plain aggregation for the same rows."""

    name: str
    ours: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)

    @property
    def p95(self) -> float:
        """The 95th percentile."""
        return quantiles(self.ours, n=20)[-1]

    def row(self) -> Raw:
        """For JSON."""
        plain = round(median(self.plain), 2) if self.plain else None
        middle, cpu = round(median(self.ours), 2), round(median(self.cpu), 2)
        return {"query": self.name, "p50": middle, "p95": round(self.p95, 2), "cpu": cpu, "plain": plain}


def main(
    sizes: Annotated[
        str, typer.Option(help="Raw events, growing, separated by commas; 10000000 takes a while.")
    ] = SIZES,
    rounds: Annotated[int, typer.Option(min=5, help="Times each query is asked.")] = 60,
    plain_rounds: Annotated[int, typer.Option(min=1, help="Times the plain aggregation is asked.")] = 3,
    tz: Annotated[str, typer.Option(help="Timezone of the days.")] = "Europe/Berlin",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fill databases, roll them up, and ask for 30 days day by day: event counts, active users, top."""
    try:
        asked = sorted({int(size) for size in sizes.split(",")})
    except ValueError:
        raise typer.BadParameter("numbers separated by commas", param_hint="--sizes") from None
    try:
        where, found = _measure(asked, rounds, plain_rounds, tz)
    except MongodError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        rows = [{"events": size, **timed.row()} for size, timings in found.items() for timed in timings]
        typer.echo(json.dumps({"machine": where, "growth": _growth(found), "queries": rows}, indent=2))
    else:
        _print(found, where)


Found = dict[int, list[Timed]]


def _measure(sizes: list[int], rounds: int, plain_rounds: int, tz: str) -> tuple[Raw, Found]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
        mongod = stack.enter_context(start_mongod(folder, cache_gb=2))
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        chosen = {"mongodb_uri": mongod.uri, "data_dir": folder, "log_requests": False, "log_level": "error"}
        settings = {size: Settings.model_validate({**chosen, "database": f"bench_{size}"}) for size in sizes}
        where = machine("embedded")
        return where, asyncio.run(_run(settings, mongod.uri, rounds, plain_rounds, tz, progress))


async def _run(
    settings: dict[int, Settings], uri: str, rounds: int, plain_rounds: int, tz: str, progress: Progress
) -> Found:
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = next(iter(settings.values()))
    async with connect(first, uri, bounded=False) as client:
        await bind(client, first)
        key, secret = ApiKey.issue(ApiKeyContent(name="bench", scopes=["analytics:read"], app_id=_APP))
        for size, each in settings.items():
            database = await bind(client, each)
            await _fill(size, end, progress)
            task = progress.add_task(f"{size:,}: building indexes", total=None)
            await sync.apply(database, await sync.plan(database))
            progress.remove_task(task)
            await _roll_up(size, progress)
            await key.add()
        app = create_app(first)
        async with app.router.lifespan_context(app), connect(first, uri) as bounded:
            transport = httpx.ASGITransport(app=app)
            headers = {"Authorization": f"Bearer {secret}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=headers) as http:
                bench = _Bench(http, bounded, client, settings, end, tz)
                return await bench.measure(rounds, plain_rounds, progress)


@dataclass(frozen=True, slots=True)
class _Bench:
    """One application that is bound to the database of each size in turn, so that what drifts favours none."""

    http: httpx.AsyncClient
    bounded: AsyncMongoClient[Raw]
    unbounded: AsyncMongoClient[Raw]
    settings: dict[int, Settings]
    end: datetime
    tz: str

    async def measure(self, rounds: int, plain_rounds: int, progress: Progress) -> Found:
        """Ask everything at every size, the sizes in turn; first see that both ways give the same figures."""
        found: Found = {size: [] for size in self.settings}
        for size, each in self.settings.items():
            await bind(self.bounded, each)
            for name, path, params, plain in self.queries(size):
                rows, expected = await self.ours(path, params), await plain()
                assert _total(rows) == _total(expected), f"{name}: {_total(rows)} is not {_total(expected)}"
                found[size].append(Timed(name))
        task = progress.add_task("asking", total=rounds // _AT_A_TIME)
        for _ in range(max(1, rounds // _AT_A_TIME)):
            for size in self.settings:
                await self.ask(size, found[size], _AT_A_TIME)
            progress.advance(task)
        for _ in range(plain_rounds):
            for size in self.settings:
                for timed, (*_, plain) in zip(found[size], self.queries(size), strict=True):
                    timed.plain.append((await _timed(plain))[0])
        return found

    async def ask(self, size: int, timings: list[Timed], times: int) -> None:
        """Some requests of each query at one size."""
        await bind(self.bounded, self.settings[size])
        for timed, (_, path, params, _plain) in zip(timings, self.queries(size), strict=True):
            await self.ours(path, params)  # what a change of database costs is not measured
            for _ in range(times):
                wall, cpu = await _timed(lambda path=path, params=params: self.ours(path, params))  # type: ignore[misc]
                timed.ours.append(wall)
                timed.cpu.append(cpu)

    async def ours(self, path: str, params: Raw) -> Any:
        """Satchel's answer."""
        span = {"from": rfc3339(self.end - timedelta(days=_DAYS)), "to": rfc3339(self.end), "tz": self.tz}
        answer = await self.http.get(f"/v1/analytics/{path}", params=span | params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def queries(self, size: int) -> Iterator[Query]:
        """The queries, with the plain aggregation over a size's raw events."""
        raw = self.unbounded[self.settings[size].database][Analytics.collection_name()]
        return _queries(raw, self.end, self.tz)


def _total(rows: list[Raw]) -> int:
    return sum(int(row["count"] if "count" in row else row["activeUsers"]) for row in rows)


async def _timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
    """Milliseconds that something took, and those of them that this process computed."""
    started, computed = time.perf_counter(), time.process_time()
    await work()
    return (time.perf_counter() - started) * 1000, (time.process_time() - computed) * 1000


def _queries(raw: AsyncCollection[Raw], end: datetime, tz: str) -> Iterator[Query]:
    """Name, path, parameters, and the plain aggregation that gives the same figures."""
    match = {"$match": {"appId": _APP, "timestamp": {"$gte": end - timedelta(days=_DAYS), "$lt": end}}}
    day = {"$dateTrunc": {"date": "$timestamp", "unit": "day", "timezone": tz}}

    def plain(*stages: Raw) -> Callable[[], Awaitable[list[Raw]]]:
        async def run() -> list[Raw]:
            cursor = await raw.aggregate([match, *stages], allowDiskUse=True)
            return await cursor.to_list()

        return run

    by_day = {"$group": {"_id": {"day": day, "name": "$eventName"}, "count": {"$sum": 1}}}
    yield "event counts by day", "event-counts", {"interval": "day"}, plain(by_day)
    people = {"$group": {"_id": {"day": day, "user": "$externalId"}}}
    users = {"$group": {"_id": "$_id.day", "activeUsers": {"$sum": 1}}}
    yield "active users by day", "active-users", {"interval": "day"}, plain(people, users)
    top = {"$group": {"_id": "$eventName", "count": {"$sum": 1}, "users": {"$addToSet": "$externalId"}}}
    slim = {"$project": {"count": 1, "users": {"$size": "$users"}}}
    yield "top 10", "top", {"limit": 10}, plain(top, slim, {"$sort": {"count": -1, "_id": 1}}, {"$limit": 10})


async def _fill(size: int, end: datetime, progress: Progress) -> None:
    """Raw events over 30 days, in the order in which they came in."""
    chance = random.Random(1)
    task = progress.add_task(f"{size:,}: writing events", total=size)
    start, step = end - timedelta(days=_DAYS), timedelta(days=_DAYS) / size
    for first in range(0, size, _CHUNK):
        rows = [_row(chance, start + step * number, number) for number in range(first, min(size, first + _CHUNK))]
        await Analytics.raw().insert_many(rows, ordered=False)
        progress.advance(task, len(rows))
    progress.remove_task(task)


def _row(chance: random.Random, moment: datetime, number: int) -> Raw:
    name, category = _NAMES[min(19, int(chance.expovariate(0.3)))]
    person = int(chance.triangular(0, _PEOPLE, 0))
    return {
        "_id": ObjectId(),
        "appId": _APP,
        "eventName": name,
        "eventCategory": category,
        "eventData": {"path": f"/places/{number % 1000}", "plan": "team"},
        "externalId": f"person-{person}",
        "sessionId": f"{person}-{number // 200_000}",
        "messageId": f"m-{number}",
        "timestamp": moment,
        "receivedAt": moment,
        "createdAt": moment,
        "updatedAt": moment,
        "version": 1,
    }


async def _roll_up(size: int, progress: Progress) -> None:
    task = progress.add_task(f"{size:,}: rolling up", total=size)
    while added := await advance(timedelta(0)):
        progress.advance(task, added)
    progress.remove_task(task)


def _growth(found: Found) -> Raw:
    """By how much p95 grew from the least size to the largest, by query."""
    first, last = found[min(found)], found[max(found)]
    return {small.name: round(large.p95 / small.p95, 2) for small, large in zip(first, last, strict=True)}


def _print(found: Found, where: Raw) -> None:
    console = Console()
    table = Table("events", "query", title="30 days", title_justify="left")
    for heading in ("p50 ms", "p95 ms", "CPU ms", "plain ms", "times"):
        table.add_column(heading, justify="right")
    for size, timings in found.items():
        for timed in timings:
            row = timed.row()
            faster = f"{row['plain'] / row['p50']:.1f}" if row["plain"] else ""
            table.add_row(
                f"{size:,}", timed.name, f"{row['p50']}", f"{row['p95']}", f"{row['cpu']}", f"{row['plain']}", faster
            )
    console.print(table)
    for name, growth in _growth(found).items():
        slowest = max(timed.p95 for timings in found.values() for timed in timings if timed.name == name)
        good = growth < _GOAL_GROWTH and slowest < _GOAL_MS
        colour = "green" if good else "red"
        said = f"p95 grew {growth} times (goal below {_GOAL_GROWTH}), {slowest:.1f} ms (goal below {_GOAL_MS:.0f})"
        console.print(f"{name}: [{colour}]{said}[/]")
    console.print(f"{where['processor']}, {where['cores']} cores, load before {where['load']}")
