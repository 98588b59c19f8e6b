"""`python -m scripts bench-analytics`: the dashboards' queries at growing sizes, against plain
aggregation over raw.

The sizes take turns. p95 is the median of the rounds' 95th percentiles, beside it stands that of
all requests. `first` is what a query takes in a process that remembers no sets of people yet.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import httpx2
import typer
from pymongo.asynchronous.collection import AsyncCollection
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.analytics.query.known_sets import KnownSets
from app.database import bind, connect
from app.database.driver import Client
from app.main import create_app
from app.settings import Settings
from models.analytics import Analytics
from models.api_key import ApiKey, ApiKeyContent
from models.base import Raw, rfc3339
from scripts.bench.data import sizes_of
from scripts.bench.events import APP, DAYS, prepare
from scripts.bench.report import machine
from scripts.mongod import MongodError, start_mongod

SIZES: Final = "100000,1000000"
_GOAL_GROWTH, _GOAL_MS = 1.2, 50.0
_AT_A_TIME: Final = 20
_FAR: Final = "Asia/Kolkata"  # its days begin in the middle of an hour of UTC
_WIDTH: Final = 120
Query = tuple[str, str, Raw, Callable[[], Awaitable[list[Raw]]]]


@dataclass(slots=True)
class Timed:
    """The milliseconds of one query at one size, and of the plain aggregation for the same rows."""

    name: str
    ours: list[list[float]] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)

    @property
    def p95(self) -> float:
        """The median of the rounds' 95th percentiles: bursts of other work on the machine are in a
        few rounds only."""
        return median(quantiles(times, n=20)[-1] for times in self.ours)

    @property
    def p95_of_all(self) -> float:
        """The 95th percentile of all requests, whatever else the machine did."""
        return quantiles((each for times in self.ours for each in times), n=20)[-1]

    def row(self) -> Raw:
        """For JSON."""
        times = {
            "p50": median(each for times in self.ours for each in times),
            "p95": self.p95,
            "p95OfAll": self.p95_of_all,
            "first": median(self.first),
            "cpu": median(self.cpu),
            "plain": median(self.plain),
        }
        return {"query": self.name} | {name: round(time, 2) for name, time in times.items()}


def main(
    sizes: Annotated[
        str, typer.Option(help="Raw events, growing, separated by commas; 10000000 takes a while.")
    ] = SIZES,
    rounds: Annotated[
        int,
        typer.Option(min=2, help=f"Rounds, in each of which a query is asked {_AT_A_TIME} times."),
    ] = 20,
    plain_rounds: Annotated[
        int, typer.Option(min=1, help="Times the plain aggregation is asked.")
    ] = 3,
    tz: Annotated[str, typer.Option(help="Timezone of the days.")] = "Europe/Berlin",
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder that keeps the filled databases for the next run; else they are removed."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fill databases, roll them up, and ask for 30 days day by day: event counts, active users,
    top."""
    asked = sizes_of(sizes)
    try:
        where, found = _measure(asked, rounds, plain_rounds, tz, data)
    except MongodError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        rows = [
            {"events": size, **timed.row()} for size, timings in found.items() for timed in timings
        ]
        typer.echo(
            json.dumps({"machine": where, "growth": _growth(found), "queries": rows}, indent=2)
        )
    else:
        _print(found, where)


Found = dict[int, list[Timed]]


def _measure(
    sizes: list[int], rounds: int, plain_rounds: int, tz: str, data: Path | None
) -> tuple[Raw, Found]:
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
        mongod = stack.enter_context(start_mongod(folder, cache_gb=2))
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        chosen = {
            "mongodb_uri": mongod.uri,
            "data_dir": folder,
            "log_requests": False,
            "log_level": "error",
        }
        settings = {
            size: Settings.model_validate({**chosen, "database": f"bench_{size}"}) for size in sizes
        }
        where = machine("embedded")
        return where, asyncio.run(_run(settings, mongod.uri, rounds, plain_rounds, tz, progress))


async def _run(
    settings: dict[int, Settings],
    uri: str,
    rounds: int,
    plain_rounds: int,
    tz: str,
    progress: Progress,
) -> Found:
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = next(iter(settings.values()))
    async with connect(first, uri, bounded=False) as client:
        await bind(client, first)
        key, secret = ApiKey.issue(
            ApiKeyContent(name="bench", scopes=["analytics:read"], app_id=APP)
        )
        ends: dict[int, datetime] = {}
        for size, each in settings.items():
            database = await bind(client, each)
            ends[size] = await prepare(database, uri, size, end, progress)
            await key.add()
        app = create_app(first)
        async with app.router.lifespan_context(app), connect(first, uri) as bounded:
            transport = httpx2.ASGITransport(app=app)
            headers = {"Authorization": f"Bearer {secret}"}
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://bench", headers=headers
            ) as http:
                bench = _Bench(http, bounded, client, settings, ends, tz, app.state.known_sets)
                return await bench.measure(rounds, plain_rounds, progress)


@dataclass(frozen=True, slots=True)
class _Bench:
    """One application that is bound to the database of each size in turn, so that what drifts
    favours none."""

    http: httpx2.AsyncClient
    bounded: Client
    unbounded: Client
    settings: dict[int, Settings]
    ends: dict[int, datetime]
    tz: str
    known: KnownSets

    async def measure(self, rounds: int, plain_rounds: int, progress: Progress) -> Found:
        """Ask everything at every size, the sizes in turn; first see that both ways give the same
        figures."""
        found: Found = {size: [] for size in self.settings}
        for size, each in self.settings.items():
            await bind(self.bounded, each)
            for name, path, params, plain in self.queries(size):
                timed = Timed(name)
                started = time.perf_counter()
                expected = await plain()
                timed.plain.append((time.perf_counter() - started) * 1000)
                rows = await self.ours(size, path, params)
                assert _total(rows) == _total(expected), (
                    f"{name}: {_total(rows)} is not {_total(expected)}"
                )
                found[size].append(timed)
        task = progress.add_task("asking", total=rounds)
        for _ in range(rounds):
            for size in self.settings:
                await self.ask(size, found[size])
            progress.advance(task)
        for _ in range(plain_rounds - 1):
            for size in self.settings:
                for timed, (*_, plain) in zip(found[size], self.queries(size), strict=True):
                    timed.plain.append((await _timed(plain))[0])
        return found

    async def ask(self, size: int, timings: list[Timed]) -> None:
        """A round of each query at one size, before it once with nothing remembered of earlier
        ones."""
        await bind(self.bounded, self.settings[size])
        for timed, (_, path, params, _plain) in zip(timings, self.queries(size), strict=True):
            await self.ours(size, path, params)  # what a change of database costs is not measured

            async def asked(path: str = path, params: Raw = params) -> None:
                await self.ours(size, path, params)

            self.known.clear()
            timed.first.append((await _timed(asked))[0])
            times = [await _timed(asked) for _ in range(_AT_A_TIME)]
            timed.ours.append([wall for wall, _ in times])
            timed.cpu += [cpu for _, cpu in times]

    async def ours(self, size: int, path: str, params: Raw) -> Any:
        """Satchel's answer."""
        end = self.ends[size]
        span = {"from": rfc3339(end - timedelta(days=DAYS)), "to": rfc3339(end), "tz": self.tz}
        answer = await self.http.get(f"/v1/analytics/{path}", params=span | params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def queries(self, size: int) -> Iterator[Query]:
        """The queries, with the plain aggregation over a size's raw events."""
        raw = self.unbounded[self.settings[size].database][Analytics.collection_name()]
        return _queries(raw, self.ends[size], self.tz)


def _total(rows: list[Raw]) -> int:
    return sum(int(row["count"] if "count" in row else row["activeUsers"]) for row in rows)


async def _timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
    """Milliseconds that something took, and those of them that this process computed."""
    started, computed = time.perf_counter(), time.process_time()
    await work()
    return (time.perf_counter() - started) * 1000, (time.process_time() - computed) * 1000


def _queries(raw: AsyncCollection[Raw], end: datetime, tz: str) -> Iterator[Query]:
    """Name, path, parameters, and the plain aggregation that gives the same figures."""
    match = {
        "$match": {"appId": APP, "timestamp": {"$gte": end - timedelta(days=DAYS), "$lt": end}}
    }
    day, far = (
        {"$dateTrunc": {"date": "$timestamp", "unit": "day", "timezone": zone}}
        for zone in (tz, _FAR)
    )

    def plain(*stages: Raw) -> Callable[[], Awaitable[list[Raw]]]:
        async def run() -> list[Raw]:
            cursor = await raw.aggregate([match, *stages], allowDiskUse=True)
            return await cursor.to_list()

        return run

    by_day, by_far = (
        {"$group": {"_id": {"day": each, "name": "$eventName"}, "count": {"$sum": 1}}}
        for each in (day, far)
    )
    yield "event counts by day", "event-counts", {"interval": "day"}, plain(by_day)
    there = {"interval": "day", "tz": _FAR}
    yield f"event counts by day in {_FAR}", "event-counts", there, plain(by_far)
    people = {"$group": {"_id": {"day": day, "user": "$externalId"}}}
    users = {"$group": {"_id": "$_id.day", "activeUsers": {"$sum": 1}}}
    yield "active users by day", "active-users", {"interval": "day"}, plain(people, users)
    top = {
        "$group": {"_id": "$eventName", "count": {"$sum": 1}, "users": {"$addToSet": "$externalId"}}
    }
    slim = {"$project": {"count": 1, "users": {"$size": "$users"}}}
    yield (
        "top 10",
        "top",
        {"limit": 10},
        plain(top, slim, {"$sort": {"count": -1, "_id": 1}}, {"$limit": 10}),
    )


def _growth(found: Found) -> Raw:
    """By how much p95 grew from the least size to the largest, by query."""
    first, last = found[min(found)], found[max(found)]
    return {
        small.name: round(large.p95 / small.p95, 2)
        for small, large in zip(first, last, strict=True)
    }


def _print(found: Found, where: Raw) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    table = Table("events", "query", title="30 days", title_justify="left")
    for heading in ("p50 ms", "p95 ms", "p95 of all", "first ms", "CPU ms", "plain ms", "times"):
        table.add_column(heading, justify="right")
    for size, timings in found.items():
        for timed in timings:
            row = timed.row()
            figures = [
                f"{row[name]}" for name in ("p50", "p95", "p95OfAll", "first", "cpu", "plain")
            ]
            table.add_row(f"{size:,}", timed.name, *figures, f"{row['plain'] / row['p50']:.1f}")
    console.print(table)
    _print_growth(console, found)
    console.print(f"{where['processor']}, {where['cores']} cores, load before {where['load']}")


def _print_growth(console: Console, found: Found) -> None:
    """By query, against its goals."""
    for name, growth in _growth(found).items():
        slowest = max(
            timed.p95 for timings in found.values() for timed in timings if timed.name == name
        )
        good = growth < _GOAL_GROWTH and slowest < _GOAL_MS
        colour = "green" if good else "red"
        said = (
            f"p95 grew {growth} times (goal below {_GOAL_GROWTH}), {slowest:.1f} ms (goal below"
            f" {_GOAL_MS:.0f})"
        )
        console.print(f"{name}: [{colour}]{said}[/]")
