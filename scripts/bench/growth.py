"""`python -m scripts bench-growth`: what requests cost beside ever more that is stored.

Each size is a database of its own with a server and a worker. One connection asks them in turn,
kind by kind; a request that asks no database tells how noisy the machine was meanwhile.
"""

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import httpx2
import typer
from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern
from rich.console import Console
from rich.progress import Progress

from app.database import bind, connect
from app.settings import Settings
from indexes import sync
from models import Activity, AppData, Preferences, Profile, User
from models.api_key import ApiKey, ApiKeyContent
from models.base import Raw, now
from scripts.bench.data import sizes_of, value_row
from scripts.bench.processes import (
    BenchError,
    Server,
    end_at_sigterm,
    environment,
    memory_of,
    start_module,
    stop,
)
from scripts.bench.report import machine
from scripts.mongod import MongodError, start_mongod
from scripts.serve import FACTORY, HTTP

GOAL: Final = 1.3
"""How much more the 95th percentile may be at the last size than at the first."""
_APP: Final = "growth"
_KEYS: Final = 10
_ACTIVITIES: Final = 10
_TOGETHER: Final = 500
_CHUNK: Final = 5_000
_WARM_UP: Final = 20


@dataclass(frozen=True, slots=True)
class Growing:
    """What is asked beside one size, and where what is stored is put.

    Attributes:
        http: asks the server.
        rows: the database, past the server.
        satchel: process id of the server.
        worker: of the worker.
    """

    http: httpx2.Client
    rows: Any
    satchel: int
    worker: int


def main(
    sizes: Annotated[
        str, typer.Option(help="Values that are stored, a tenth as many people, growing.")
    ] = "10000,100000,1000000",
    requests: Annotated[
        int, typer.Option(min=20, max=10_000, help="Of each kind at each size.")
    ] = 300,
) -> None:
    """Measure reads, writes, lists and deletions beside ever more that is stored. Exits 1 where
    the last size is more than 1.3 times as slow as the first."""
    end_at_sigterm()
    try:
        found = _measure(sizes_of(sizes), requests)
    except (BenchError, MongodError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(json.dumps(found, indent=2))
    if max(found["grew"].values()) > GOAL:
        raise typer.Exit(1)


def _measure(sizes: list[int], requests: int) -> dict[str, Any]:
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="satchel-bench-")))
        mongod = stack.enter_context(start_mongod(folder))
        places, version = {}, ""
        for size in sizes:
            settings = _settings(mongod.uri, folder, size)
            _fill(settings, mongod.uri, size // _KEYS, progress)
            key, version = asyncio.run(_prepare(settings, mongod.uri))
            places[size] = _serve(stack, settings, folder, key)
        found = _rounds(places, requests, progress)
        stages = [
            {"values": size, "people": size // _KEYS, **_told(places[size], found[size])}
            for size in sizes
        ]
        return {"machine": machine(version), "stages": stages, "grew": _grew(stages)}


def _settings(uri: str, folder: Path, size: int) -> Settings:
    chosen: dict[str, Any] = {
        "mongodb_uri": uri,
        "data_dir": folder,
        "log_requests": False,
        "database": f"growth_{size}",
    }
    return Settings.model_validate(chosen)


async def _prepare(settings: Settings, uri: str) -> tuple[str, str]:
    """Indexes and an admin's key; the key, and the version of the MongoDB."""
    async with connect(settings, uri, bounded=False) as client:
        database = await bind(client, settings)
        await sync.apply(database, await sync.plan(database))
        key, secret = ApiKey.issue(ApiKeyContent(name="bench", scopes=["admin"]))
        await key.add()
        return secret, (await client.server_info())["version"]


def _serve(stack: ExitStack, settings: Settings, folder: Path, key: str) -> Growing:
    """A server and a worker of one of the databases."""
    assert settings.mongodb_uri is not None
    uri = settings.mongodb_uri.get_secret_value()
    told = [(name, getattr(settings, name)) for name in ("data_dir", "log_requests", "database")]
    variables = environment([("mongodb_uri", uri), *told])
    server = stack.enter_context(
        Server.start(settings.database, FACTORY, environment=variables, folder=folder, http=HTTP)
    )
    output = stack.enter_context((folder / f"{settings.database}-worker.log").open("ab"))
    worker = start_module("scripts", "worker", output=output, environment=variables)
    stack.callback(stop, worker)
    client = stack.enter_context(MongoClient[Raw](uri))
    http = stack.enter_context(
        httpx2.Client(
            base_url=f"http://127.0.0.1:{server.port}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
        )
    )
    return Growing(http, client[settings.database], server.process.pid, worker.pid)


Taken = dict[str, list[float]]
"""Milliseconds of each kind of request."""


def _rounds(places: dict[int, Growing], requests: int, progress: Progress) -> dict[int, Taken]:
    """Ask beside each size in turn, so that what drifts favours none."""
    kinds = {size: _kinds(growing, requests) for size, growing in places.items()}
    for ask in (ask for asks in kinds.values() for ask in asks.values()):
        for _ in range(_WARM_UP):
            ask()
    found = {size: Taken({name: [] for name in asks}) for size, asks in kinds.items()}
    for _ in progress.track(range(requests), description="Asking"):
        for size, asks in kinds.items():
            for name, ask in asks.items():
                began = time.perf_counter()
                ask()
                found[size][name].append((time.perf_counter() - began) * 1000)
    return found


def _told(growing: Growing, taken: Taken) -> dict[str, Any]:
    """The figures at one size: milliseconds of each kind, memory in MiB, bytes of a document and of
    its indexes."""
    return {
        "milliseconds": {name: _spread(each) for name, each in taken.items()},
        "memoryMiB": {
            "server": round(memory_of(growing.satchel) or 0, 1),
            "worker": round(memory_of(growing.worker) or 0, 1),
        },
        "bytes": {
            document.collection_name(): _bytes(growing.rows, document.collection_name())
            for document in (User, Profile, Preferences, AppData, Activity)
        },
    }


def _kinds(growing: Growing, requests: int) -> dict[str, Callable[[], None]]:
    """What is asked: of one person, and of people who are made for it and deleted."""
    person, *gone = _people(growing.rows, 1 + _WARM_UP + requests)
    values = f"/v1/users/{person}/apps/{_APP}/data"
    versions = iter(range(1, 1_000_000))
    leaving = iter(gone)

    def asked(method: str, path: str, **options: Any) -> None:
        answer = growing.http.request(method, path, **options)
        if not answer.is_success:  # a deletion on a busy machine is 202, and a job goes on
            raise BenchError(f"{method} {path}: {answer.status_code} {answer.text[:200]}")

    def swap() -> None:
        condition = {"If-Match": f'"{next(versions)}"'}
        asked("PUT", f"{values}/key000000", json={"swapped": True}, headers=condition)

    return {
        "noDatabase": lambda: asked("GET", "/livez"),
        "read": lambda: asked("GET", f"{values}/key000001"),
        "compareAndSet": swap,
        "list": lambda: asked("GET", f"{values}?limit=10"),
        "activity": lambda: asked("GET", f"/v1/users/{person}/activity?limit=10"),
        "complete": lambda: asked("GET", f"/v1/users/{person}/complete"),
        "delete": lambda: asked("DELETE", f"/v1/users/{next(leaving)}"),
    }


def _people(rows: Any, count: int) -> list[ObjectId]:
    users = [ObjectId() for _ in range(count)]
    for start in range(0, count, _TOGETHER):
        _store(rows, users[start : start + _TOGETHER])
    return users


def _fill(settings: Settings, uri: str, people: int, progress: Progress) -> None:
    """Store so many people by several processes, before there are indexes."""
    task = progress.add_task(f"{people:,} people", total=people)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=context, initializer=_bind, initargs=(settings, uri)
    ) as pool:
        chunks = [
            pool.submit(_chunk, uri, settings.database, min(_CHUNK, people - first))
            for first in range(0, people, _CHUNK)
        ]
        for chunk in as_completed(chunks):
            progress.advance(task, chunk.result())
    progress.update(task, description=f"{people:,} people: building indexes", total=None)


def _bind(settings: Settings, uri: str) -> None:
    """Let documents be made in this process."""

    async def once() -> None:
        async with connect(settings, uri, bounded=False) as client:
            await bind(client, settings)

    asyncio.run(once())


def _chunk(uri: str, database: str, people: int) -> int:
    with MongoClient[Raw](uri) as client:
        return len(_people(client[database], people))


def _store(rows: Any, users: list[ObjectId]) -> None:
    """Store people with what hangs off each."""
    for document, made in (
        (User, _users(users)),
        (Profile, (Profile(user_id=user).stored() for user in users)),
        (Preferences, (Preferences(user_id=user).stored() for user in users)),
        (AppData, _values(users)),
        (Activity, _activities(users)),
    ):
        into: Collection[Raw] = rows.get_collection(
            document.collection_name(), write_concern=WriteConcern(w=1, j=False)
        )
        into.insert_many(made, ordered=False)


def _users(users: list[ObjectId]) -> Iterator[Raw]:
    for user in users:
        stored = User(email=f"{user}@bench.test", name=f"Person {user}").stored()
        yield stored | {"_id": user}


def _values(users: list[ObjectId]) -> Iterator[Raw]:
    for user in users:
        yield from (value_row(user, _APP, f"key{number:06}", number) for number in range(_KEYS))


def _activities(users: list[ObjectId]) -> Iterator[Raw]:
    moment = now()
    times = {"timestamp": moment, "createdAt": moment, "updatedAt": moment, "version": 1}
    for user in users:
        for number in range(_ACTIVITIES):
            yield {
                "userId": user,
                "appId": _APP,
                "eventType": f"type{number}",
                "sessionId": f"{user}-{number % 3}",
                "eventData": {"place": number},
                **times,
            }


def _spread(taken: list[float]) -> dict[str, float]:
    cuts = quantiles(taken, n=100)
    return {"p50": round(cuts[49], 2), "p95": round(cuts[94], 2)}


def _bytes(rows: Any, name: str) -> dict[str, int]:
    """Bytes of a document, as it is and as it lies on the disk, and of its entries in all
    indexes."""
    found = rows.command("collStats", name)
    count = max(found["count"], 1)
    return {
        "documents": found["count"],
        "document": found["size"] // count,
        "stored": found["storageSize"] // count,
        "indexes": found["totalIndexSize"] // count,
    }


def _grew(stages: list[dict[str, Any]]) -> dict[str, float]:
    """The 95th percentile at the last size, of that at the first."""
    first, last = (stages[place]["milliseconds"] for place in (0, -1))
    return {name: round(last[name]["p95"] / first[name]["p95"], 2) for name in first}
