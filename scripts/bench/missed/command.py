"""`python -m scripts bench-nothing-missed`: does a client that follows changes miss anything?

Sixteen writers at two servers mix single writes, batches, deletions and values that expire; a
worker expires and purges; transactions are held open at random. Clients follow by `changes`, by
`wait` and by `events`, over connections that are cut about every second, while the primary of the
database and servers are killed. In the end each must have what the database has. Some ask a third
server, which looks back by no overlap: they have to miss something, or the run says nothing.
"""

import asyncio
import json
import random
import secrets
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from models.api_key import hash_key
from models.base import Raw
from scripts.bench.ground import faults_told
from scripts.bench.missed import scaled
from scripts.bench.missed.journal import Journal
from scripts.bench.missed.members import Members, replica_set
from scripts.bench.missed.people import enrol
from scripts.bench.missed.pollers import Poller
from scripts.bench.missed.verdict import CARELESS, Verdict, judge, missed, truth_of
from scripts.bench.missed.writers import Town, Writer
from scripts.bench.processes import (
    BenchError,
    Server,
    end_at_sigterm,
    environment,
    start_module,
    stop,
)
from scripts.bench.soak.program import prepare

_WRITERS: Final = 16
_PEOPLE: Final = 4
_FACTORY: Final = "scripts.bench.missed.scaled:application"
_HTTP: Final = "app.web.admission.pauses:PatientProtocol"
_DATABASE: Final = "missed"
_BOTH: Final = (0, 1)
_CARELESS: Final = 2
_FOLLOWERS: Final = {"changes": _BOTH, "wait": _BOTH, "events": _BOTH, CARELESS: (_CARELESS,)}
_SLOW: Final = 4
_QUIET_SECONDS: Final = 60.0


def main(
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long is written.")] = 60.0,
    failovers: Annotated[
        int, typer.Option(min=0, max=50, help="Of a set of three; without any it has one member.")
    ] = 0,
    kills: Annotated[int, typer.Option(min=0, max=50, help="Times that a server is killed.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Drawn if left out.")] = None,
) -> None:
    """Look for what clients miss. Exits 1 where there is anything, or nothing could be found."""
    end_at_sigterm()
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    typer.echo(f"seed {seed}", err=True)
    with faults_told():
        found = look(seconds, failovers=failovers, kills=kills, seed=seed)
    typer.echo(json.dumps(found.shown(), indent=2))
    if not (found.is_sound and found.is_real):
        raise typer.Exit(1)


def look(
    seconds: float,
    *,
    failovers: int = 0,
    kills: int = 0,
    seed: int = 0,
    people: int = _PEOPLE,
) -> Verdict:
    """One run; to be called from the main thread, with which its processes end.

    Args:
        seconds: how long is written.
        failovers: of a set of three members; without any there is one member.
        kills: times that a server is killed.
        seed: of writers and pollers.
        people: whose data is written.

    Raises:
        BenchError: something did not start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-missed-")))
        count = 3 if failovers else 1
        members = stack.enter_context(replica_set(folder, count, scaled.LIFETIME_SECONDS))
        run = Run(folder, members, stack, seed)
        run.start()
        return asyncio.run(run.go(seconds, failovers, kills, people))


@dataclass(slots=True)
class Run:
    """One run: its processes, and what became of them."""

    folder: Path
    members: Members
    stack: ExitStack
    seed: int
    variables: dict[str, str] = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)
    admin: str = field(default_factory=lambda: f"sk_{secrets.token_urlsafe(32)}")

    def start(self) -> None:
        """Start servers and worker on a database that is ready."""
        self.variables = environment(
            [
                ("mongodb_uri", self.members.uri),
                ("database", _DATABASE),
                ("data_dir", self.folder),
                ("log_requests", "false"),
                ("lease_seconds", 1),
                ("deletion_fence_seconds", scaled.FENCE_SECONDS),
                ("pool_max_size", 40),
            ]
        )
        prepare(self.variables)
        self.servers += [self._server(number) for number in range(3)]
        self.stack.callback(self._stop)
        with (self.folder / "worker.log").open("ab") as output:
            worker = start_module(
                "scripts.bench.missed.scaled", output=output, environment=self.variables
            )
        self.stack.callback(stop, worker)

    def _stop(self) -> None:
        for server in self.servers:
            server.stop()

    def _server(self, number: int) -> Server:
        variables = self.variables | ({scaled.WITHOUT: "1"} if number == _CARELESS else {})
        return Server.start(
            f"server-{number}", _FACTORY, environment=variables, folder=self.folder, http=_HTTP
        )

    @property
    def urls(self) -> list[str]:
        """Where the servers are."""
        return [f"http://127.0.0.1:{server.port}" for server in self.servers]

    async def go(self, seconds: float, failovers: int, kills: int, people: int) -> Verdict:
        """Write, poll and break for so long; then see what everybody has."""
        async with self.members.client() as client:
            rows = client[_DATABASE]["appdata"]
            await client[_DATABASE]["apikeys"].insert_one(
                {"name": "missed", "scopes": ["admin"], "hash": hash_key(self.admin), "version": 1}
            )
            town = Town(self.urls, await enrol(self.urls[0], self.admin, people), Journal())
            pollers = self._pollers(town)
            tasks = [asyncio.create_task(poller.run()) for poller in pollers]
            await self._written(town, seconds, failovers, kills)
            found = await self._settled(rows, pollers)
            await _end(tasks)
            return judge(town.journal, pollers, found)

    def _pollers(self, town: Town) -> list[Poller]:
        found = [
            Poller(town, kind, person, servers, f"{self.seed} {kind} {person.id}")
            for person in town.people
            for kind, servers in _FOLLOWERS.items()
        ]
        return found + [
            Poller(town, "slow", person, _BOTH, f"{self.seed} slow {person.id}")
            for person in town.people[:_SLOW]
        ]

    async def _written(self, town: Town, seconds: float, failovers: int, kills: int) -> None:
        """Have everybody write for so long, while things break."""
        enough = asyncio.Event()
        writers = [
            asyncio.create_task(Writer(town, number % 2, f"{self.seed} {number}").run(enough))
            for number in range(_WRITERS)
        ]
        breaking = asyncio.create_task(self._break(town, seconds, failovers, kills))
        await asyncio.sleep(seconds)
        await breaking
        enough.set()
        await asyncio.gather(*writers)

    async def _break(self, town: Town, seconds: float, failovers: int, kills: int) -> None:
        """The faults, evenly over the time: failovers by a kill, every third by stepping down."""
        kinds = ("kill primary", "kill primary", "step down")
        faults = [kinds[number % 3] for number in range(failovers)] + ["kill"] * kills
        random.Random(self.seed).shuffle(faults)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, fault in enumerate(faults, 1):
            await asyncio.sleep(
                max(0.0, began + number * seconds / (len(faults) + 1) - loop.time())
            )
            town.journal.counts[fault] += 1
            if fault == "step down":
                await self.members.step_down()
            elif fault == "kill primary":
                await self.members.kill_primary()
            else:
                await self._restart(number % 2, town)

    async def _restart(self, number: int, town: Town) -> None:
        """Kill a server, within whatever it does, and start another in its place."""
        self.servers[number].process.kill()
        self.servers[number].process.wait()
        self.servers[number] = self._server(number)
        town.urls[number] = self.urls[number]

    async def _settled(self, rows: AsyncCollection[Raw], pollers: list[Poller]) -> list[Raw]:
        """Wait until nothing is to expire any more, and everybody has everything, for a bounded
        time. What the database has then."""
        loop = asyncio.get_running_loop()
        deadline, found = loop.time() + _QUIET_SECONDS, list[Raw]()
        careful = [poller for poller in pollers if poller.name != CARELESS]
        for poller in pollers:
            poller.hurry.set()
        while loop.time() < deadline:
            with suppress(PyMongoError):
                found = await rows.find({}, {"_id": 0, "history": 0}).to_list()
                truths = truth_of(found)
                if not any("expiresAt" in row for row in found) and not any(
                    missed(poller, truths[poller.person.id]) for poller in careful
                ):
                    return found
            await asyncio.sleep(0.5)
        return found


async def _end(pollers: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel the pollers, none of which may have ended before."""
    if any(task.done() for task in pollers):
        raise BenchError("a poller has ended by itself")
    for task in pollers:
        task.cancel()
    await asyncio.wait(pollers)
    for task in pollers:
        if not task.cancelled() and (error := task.exception()):
            raise error
