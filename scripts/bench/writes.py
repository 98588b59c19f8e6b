"""`python -m scripts bench-writes`: what a compare-and-set costs MongoDB and the driver, by the
operation that it is sent as, in turn on one collection with two indexes.

`returned` is an update that gives the row as it was, `plain` one that tells only whether it was
done, `unretried` the first without the driver's retry, `company` one command for those that wait,
`company and read` the same after a query that reads their versions.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import typer
from bson import ObjectId
from pymongo import AsyncMongoClient, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from models.base import Raw, now
from scripts.bench.processes import cpu_seconds, end_at_sigterm
from scripts.bench.report import machine
from scripts.bench.traffic import value
from scripts.mongod import MongodError, start_mongod

_WRITERS: Final = 32
_KEYS: Final = 8
_TOGETHER: Final = 32
_COMMANDS: Final = 2
_NEVER_INSERTED: Final[Raw] = {"$setOnInsert": {"_id": ()}}
Place = tuple[ObjectId, int]


@dataclass(slots=True)
class Writes:
    """Values of some people, each written by one writer under the version that it knows.

    Attributes:
        rows: where they are.
        unretried: the same through a client that retries nothing.
        versions: of each value.
    """

    rows: AsyncCollection[Raw]
    unretried: AsyncCollection[Raw]
    versions: dict[Place, int]
    _waiting: deque[tuple[Place, "asyncio.Future[None]"]] = field(default_factory=deque)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def returned(self, place: Place) -> None:
        """By `findAndModify`."""
        await self._swapped(self.rows, place)

    async def without_retry(self, place: Place) -> None:
        """The same without the driver's retry."""
        await self._swapped(self.unretried, place)

    async def plain(self, place: Place) -> None:
        """By `update`."""
        done = await self.rows.update_one(self._where(place), _change())
        assert done.matched_count == 1
        self.versions[place] += 1

    async def company(self, place: Place, *, read: bool = False) -> None:
        """With all who wait while two commands are under way."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, done))
        if len(self._tasks) < _COMMANDS:
            task = asyncio.create_task(self._serve(read=read))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await done

    async def _swapped(self, rows: AsyncCollection[Raw], place: Place) -> None:
        found = await rows.find_one_and_update(self._where(place), _change(), {"version": 1})
        assert found is not None
        self.versions[place] += 1

    async def _serve(self, *, read: bool) -> None:
        while self._waiting:
            size = min(len(self._waiting), _TOGETHER)
            batch = [self._waiting.popleft() for _ in range(size)]
            if read:
                keys = [{"userId": user, "dataKey": key} for (user, key), _ in batch]
                await self.rows.find({"$or": keys}, {"version": 1}).to_list()
            change = _change() | _NEVER_INSERTED
            sent = [UpdateOne(self._where(place), change, upsert=True) for place, _ in batch]
            done = await self.rows.bulk_write(sent, ordered=False)
            assert done.matched_count == size
            for place, waits in batch:
                self.versions[place] += 1
                waits.set_result(None)

    def _where(self, place: Place) -> Raw:
        return {"userId": place[0], "dataKey": place[1], "version": self.versions[place]}


def main(
    rounds: Annotated[int, typer.Option(min=1, max=50, help="Of each operation.")] = 8,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Length of a round.")] = 0.5,
) -> None:
    """Measure compare-and-sets of 32 writers by each operation: microseconds of CPU of MongoDB and
    of the client, and how many a second."""
    end_at_sigterm()
    try:
        found = _measure(rounds, seconds)
    except MongodError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(found, indent=2))


def _measure(rounds: int, seconds: float) -> dict[str, Any]:
    with (
        TemporaryDirectory(prefix="satchel-bench-") as folder,
        start_mongod(Path(folder)) as mongod,
    ):
        return asyncio.run(_run(mongod.uri, mongod.process.pid, rounds, seconds))


async def _run(uri: str, pid: int, rounds: int, seconds: float) -> dict[str, Any]:
    async with _client(uri) as client, _client(uri, retryWrites=False) as unretried:
        writes = await _fill(client["bench"]["values"], unretried["bench"]["values"])
        kinds: dict[str, Callable[[Place], Awaitable[None]]] = {
            "returned": writes.returned,
            "plain": writes.plain,
            "unretried": writes.without_retry,
            "company": writes.company,
            "companyAndRead": lambda place: writes.company(place, read=True),
        }
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in kinds}
        for number in range(-1, rounds):  # the first warms up
            for name, write in kinds.items():
                measured = await _round(writes, write, pid, seconds)
                found[name] += [measured] if number >= 0 else []
        version = (await client.server_info())["version"]
        return {
            "machine": machine(version),
            "writes": {n: _told(each) for n, each in found.items()},
        }


def _client(uri: str, **options: Any) -> AsyncMongoClient[Raw]:
    return AsyncMongoClient(
        uri, w="majority", journal=True, readConcernLevel="majority", maxPoolSize=64, **options
    )


async def _fill(rows: AsyncCollection[Raw], unretried: AsyncCollection[Raw]) -> Writes:
    places = [(ObjectId(), key) for _ in range(_WRITERS) for key in range(_KEYS)]
    await rows.create_index(["userId", "dataKey"], unique=True)
    await rows.create_index(["userId", "changedAt"])
    await rows.insert_many(
        {"userId": user, "dataKey": key, "version": 1, **_change()["$set"]} for user, key in places
    )
    return Writes(rows, unretried, dict.fromkeys(places, 1))


def _change() -> Raw:
    return {
        "$set": {"value": value(1), "updatedAt": now(), "changedBy": "bench", "bytes": 300},
        "$inc": {"version": 1},
        "$currentDate": {"changedAt": {"$type": "timestamp"}},
    }


async def _round(
    writes: Writes, write: Callable[[Place], Awaitable[None]], pid: int, seconds: float
) -> tuple[float, float, float]:
    """Microseconds of MongoDB's CPU a write, of this process's, and writes a second."""
    places, ends, count = list(writes.versions), time.perf_counter() + seconds, 0

    async def writer(number: int) -> None:
        nonlocal count
        own, turn = places[number * _KEYS : (number + 1) * _KEYS], 0
        while time.perf_counter() < ends:
            await write(own[turn % _KEYS])
            turn, count = turn + 1, count + 1

    before, own_before = cpu_seconds(pid), time.process_time()
    await asyncio.gather(*map(writer, range(_WRITERS)))
    used, own = cpu_seconds(pid) - before, time.process_time() - own_before
    return 1e6 * used / count, 1e6 * own / count, count / seconds


def _told(rounds: list[tuple[float, float, float]]) -> dict[str, float]:
    mongod, client, rate = (median(each) for each in zip(*rounds, strict=True))
    return {
        "mongodMicroseconds": round(mongod, 1),
        "clientMicroseconds": round(client, 1),
        "writesPerSecond": round(rate),
    }
