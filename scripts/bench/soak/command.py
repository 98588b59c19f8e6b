"""`python -m scripts bench-soak`: a Satchel under a steady load while it is frozen, killed and
misled, then checked."""

import asyncio
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, TypeVar

import typer
from pymongo import MongoClient
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from app.analytics.jobs import recount_lately
from app.database import bind, connect
from app.relations.unreadable import check_rows
from app.settings import Settings
from models.api_key import hash_key
from scripts.bench.ground import faults_told
from scripts.bench.processes import BenchError, end_at_sigterm, environment, free_port
from scripts.bench.soak import checks
from scripts.bench.soak.checks import Finding
from scripts.bench.soak.client import Client
from scripts.bench.soak.faults import Faults
from scripts.bench.soak.load import APP, Load
from scripts.bench.soak.plant import Planted
from scripts.bench.soak.program import FAKETIME, Fleet, fleet, prepare
from scripts.bench.soak.receiver import Receiver
from scripts.bench.soak.watch import Watch
from scripts.mongod import start_mongod

T = TypeVar("T")
_SETTINGS: Final[dict[str, Any]] = {
    "database": "soak",
    "environment": "development",
    "log_requests": False,
    "log_level": "info",
    "log_format": "json",
    "webhook_retry_seconds": 1.0,
    "deletion_fence_seconds": 20,
}
_QUIET_SECONDS: Final = 180.0
_SHORT: Final = 2.0
"""Minutes below which each fault comes once instead of by chance."""


def main(
    minutes: Annotated[
        float, typer.Option(min=0.1, max=24 * 60, help="How long it goes wrong.")
    ] = 10.0,
    seed: Annotated[
        int | None, typer.Option(help="Of the faults and the load; drawn if left out.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="A folder for logs and database, which stays.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Soak a server and three workers. Exits 1 where a check fails. Under two minutes each fault
    comes once."""
    end_at_sigterm()
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    typer.echo(f"seed {seed}", err=True)
    with faults_told(), ExitStack() as stack:
        folder = keep or Path(stack.enter_context(TemporaryDirectory(prefix="satchel-soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        findings, told = Soak(folder, seed, minutes * 60, stack).run()
    if as_json:
        typer.echo(
            json.dumps(
                {"seed": seed, **told, "checks": [each.row() for each in findings]}, indent=2
            )
        )
    else:
        _print(seed, told, findings)
    if any(each.holds is False for each in findings):
        raise typer.Exit(1)


def _table(seed: int, told: dict[str, Any], findings: list[Finding]) -> Table:
    table = Table(
        title=(
            f"Soak of {told['minutes']:g} minutes, seed {seed}, quiet after"
            f" {told['quietSeconds']} s"
        )
    )
    table.add_column("holds")
    table.add_column("what")
    table.add_column("found", overflow="fold")
    for each in findings:
        table.add_row({True: "yes", False: "NO", None: "-"}[each.holds], each.name, each.told)
    return table


def _print(seed: int, told: dict[str, Any], findings: list[Finding]) -> None:
    console = Console()
    console.print(_table(seed, told, findings))
    console.print(
        "Faults: " + ", ".join(f"{count} {name}" for name, count in told["faults"].items())
    )
    if not told["clocksCanBeSet"]:
        console.print("libfaketime is not installed: no clock was wrong")
    for each in findings:
        for fault in each.faults:
            console.print(f"{each.name}: {fault}", markup=False)


class Background:
    """A loop in a thread of its own, for load and receiver: the main thread starts and ends
    processes."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Begin work there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, work: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Have it done there, in time."""
        try:
            return self.begin(work).result(seconds)
        except TimeoutError:
            raise BenchError(f"the load was not done within {seconds:.0f} s") from None

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class Soak:
    """One run: set up, let it go wrong, let it be quiet, look."""

    def __init__(self, folder: Path, seed: int, seconds: float, stack: ExitStack) -> None:
        self._folder = folder
        self._seed = seed
        self._seconds = seconds
        self._stack = stack
        self._background = Background()
        self._planted = Planted()
        stack.callback(self._background.close)

    def run(self) -> tuple[list[Finding], dict[str, Any]]:
        """Do it all; what was found, and what is to be told besides.

        Raises:
            BenchError: an answer was wrong, or something did not come to its end.
        """
        running, key = self._start()
        client = Client(running.environment["SATCHEL_PUBLIC_URL"], key)
        receiver = Receiver(self._seed)
        load = Load(client, receiver, self._seed)
        self._background.do(receiver.start())
        self._background.do(load.enrol(), _QUIET_SECONDS)
        watch = Watch(running, self._planted)
        odd = list["Future[None]"]()
        faults = Faults(
            running,
            self._planted,
            self._seed,
            lambda: odd.append(self._background.begin(load.send_odd_event())),
        )
        with watch.over():
            self._go_wrong(faults, load, odd)
            receiver.behave()
            (self._folder / "faults.txt").write_text("\n".join(faults.timeline()))
            quiet = self._settle(running, load)
            findings = self._look(running, client, load, receiver, faults, watch)
        self._background.do(client.close())
        counts = Counter(
            fault.name.partition(" of ")[0].partition(" in ")[0] for fault in faults.done
        )
        told = {
            "minutes": self._seconds / 60,
            "quietSeconds": round(quiet),
            "faults": dict(counts.most_common()),
        }
        return findings, told | {
            "clocksCanBeSet": FAKETIME is not None,
            "refusedByReceiver": receiver.refused,
        }

    def _start(self) -> tuple[Fleet, str]:
        mongod = start_mongod(self._folder, cache_gb=0.5)
        port, key = free_port(), f"sk_{secrets.token_urlsafe(32)}"
        chosen = _SETTINGS | {"mongodb_uri": mongod.uri, "data_dir": self._folder, "port": port}
        variables = environment(list((chosen | {"public_url": f"http://127.0.0.1:{port}"}).items()))
        try:
            prepare(variables)
            with MongoClient[dict[str, Any]](mongod.uri) as database:
                row = {"name": "soak", "scopes": ["admin"], "hash": hash_key(key), "version": 1}
                database[_SETTINGS["database"]].apikeys.insert_one(row)
        except BaseException:
            mongod.stop()
            raise
        return self._stack.enter_context(fleet(self._folder, variables, mongod)), key

    def _go_wrong(self, faults: Faults, load: Load, odd: "list[Future[None]]") -> None:
        """Let it go wrong, and then bring what clients have begun to its end."""
        playing = self._background.begin(load.run())
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Going wrong ...", total=self._seconds)
            started = time.monotonic()

            def each_second() -> None:
                bar.update(task, completed=time.monotonic() - started)
                if playing.done():  # it fails before its time alone
                    playing.result()

            faults.run(self._seconds, each_second, one_of_each=self._seconds < _SHORT * 60)
        load.stop()
        for each in (playing, *odd):
            each.result(_QUIET_SECONDS)

    def _settle(self, running: Fleet, load: Load) -> float:
        """Wait until all is done that was to be done, for a bounded time; how many seconds that
        took."""
        started, over = time.monotonic(), datetime.now(UTC)
        with MongoClient[dict[str, Any]](running.mongod.uri, tz_aware=True) as client:
            database = client[_SETTINGS["database"]]
            while time.monotonic() < started + _QUIET_SECONDS:
                if not checks.pending(database, load.journal, self._planted, over):
                    break
                time.sleep(1)
        return time.monotonic() - started

    def _look(
        self,
        running: Fleet,
        client: Client,
        load: Load,
        receiver: Receiver,
        faults: Faults,
        watch: Watch,
    ) -> list[Finding]:
        asked = self._background.do(
            client.ask("GET", "/v1/analytics/event-counts", params={"appId": APP})
        )
        figures: dict[str, int] = {}
        for row in asked.json():
            figures[row["eventName"]] = figures.get(row["eventName"], 0) + row["count"]
        mended, unreadable = asyncio.run(_recounted(running.mongod.uri))
        with MongoClient[dict[str, Any]](running.mongod.uri, tz_aware=True) as connected:
            database = connected[_SETTINGS["database"]]
            return [
                checks.check_events(database, load.journal, mended, figures),
                *checks.check_card_events(database, load.journal, receiver.deliveries, faults.done),
                checks.check_values(database, load.journal, self._planted),
                checks.check_people(database, load.journal),
                *checks.check_jobs(database, self._planted, watch),
                checks.check_memory(running),
                *checks.check_logs(running, self._planted),
                checks.check_unreadable(unreadable, self._planted),
                *checks.check_answers(client, load.journal, database),
            ]


async def _recounted(uri: str) -> tuple[dict[str, int], dict[str, int]]:
    """What a recount mends, by collection, and how many rows cannot be read, by collection."""
    settings = Settings.model_validate(
        {name: _SETTINGS[name] for name in ("database", "environment")}
    )
    async with connect(settings, uri, bounded=False) as client:
        await bind(client, settings)
        report = await recount_lately()
        return report["mended"], {
            scan.id: scan.unreadable for scan in await check_rows() if scan.unreadable
        }
