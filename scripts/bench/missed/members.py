"""A replica set of one member or three on loopback, whose primary can be killed or made to step
down."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import PyMongoError

from models.base import Raw
from scripts.bench.processes import BenchError, free_port, stop
from scripts.mongod import end_with_starter, find_mongod

_NAME: Final = "missed"
_ELECTION_MS: Final = 2000
_READY_SECONDS: Final = 90.0


@dataclass(slots=True)
class Member:
    """One mongod."""

    port: int
    arguments: list[str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, from the main thread: with the end of that the process ends."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603  # the program was found by us
                self.arguments,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=end_with_starter(signal.SIGKILL),  # noqa: PLW1509  # no thread holds a lock
            )

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass(slots=True)
class Members:
    """The set."""

    folder: Path
    members: list[Member] = field(default_factory=list)

    @property
    def uri(self) -> str:
        """Of all of them."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.members)
        return f"mongodb://{hosts}/?replicaSet={_NAME}"

    def client(self) -> AsyncMongoClient[Raw]:
        """Of its own, so that what is asked of it does not go through Satchel's."""
        return AsyncMongoClient(self.uri, tz_aware=True, w="majority", readConcernLevel="majority")

    async def step_down(self) -> None:
        """Have the primary hand over to another."""
        async with self.client() as client:
            with suppress(PyMongoError):  # the connection may go with it
                await client.admin.command("replSetStepDown", 10, secondaryCatchUpPeriodSecs=5)
            await _until_writable(client)

    async def kill_primary(self) -> None:
        """Kill the primary, wait for another, and start it again."""
        async with self.client() as client:
            await _until_writable(client)
            _, port = await client.primary or ("", 0)
            killed = next(each for each in self.members if each.port == port)
            killed.kill()
            await _until_writable(client)
            killed.start()


@contextmanager
def replica_set(folder: Path, count: int, lifetime: int) -> Iterator[Members]:
    """A set that accepts writes.

    Args:
        folder: for its files.
        count: of its members.
        lifetime: seconds that it gives a transaction.
    """
    found = Members(folder)
    try:
        for number in range(count):
            found.members.append(_member(folder / f"member-{number}", lifetime))
            found.members[-1].start()
        _initiate(found)
        yield found
    finally:
        for each in found.members:
            if each.process is not None:
                stop(each.process)
            shutil.rmtree(each.log.parent, ignore_errors=True)


def _member(folder: Path, lifetime: int) -> Member:
    (folder / "db").mkdir(parents=True)
    port, log = free_port(), folder / "log"
    arguments = [
        str(find_mongod(None)),
        *("--dbpath", str(folder / "db"), "--bind_ip", "127.0.0.1", "--port", str(port)),
        *("--replSet", _NAME, "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.25"),
        *("--networkMessageCompressors", "disabled", "--nounixsocket"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
        *("--setParameter", f"transactionLifetimeLimitSeconds={lifetime}"),
    ]
    return Member(port, arguments, log)


def _initiate(members: Members) -> None:
    first = members.members[0]
    config = {
        "_id": _NAME,
        "settings": {"electionTimeoutMillis": _ELECTION_MS},
        "members": [
            {"_id": number, "host": f"127.0.0.1:{each.port}"}
            for number, each in enumerate(members.members)
        ],
    }
    one = f"mongodb://127.0.0.1:{first.port}/?directConnection=true"
    with MongoClient[dict[str, Any]](one, serverSelectionTimeoutMS=60_000) as client:
        client.admin.command("ping")
    for each in members.members[1:]:
        other = f"mongodb://127.0.0.1:{each.port}/?directConnection=true"
        with MongoClient[dict[str, Any]](other, serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("ping")
    with MongoClient[dict[str, Any]](one) as client:
        client.admin.command("replSetInitiate", config)
    asyncio.run(_first_primary(members))


async def _first_primary(members: Members) -> None:
    async with members.client() as client:
        await _until_writable(client)


async def _until_writable(client: AsyncMongoClient[Raw]) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _READY_SECONDS
    while loop.time() < deadline:
        with suppress(PyMongoError):
            await client["missed_probe"]["probe"].update_one(
                {"_id": 1}, {"$inc": {"n": 1}}, upsert=True
            )
            return
        await asyncio.sleep(0.1)
    raise BenchError("the replica set has no primary that accepts writes")
