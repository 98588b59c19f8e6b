"""Raw events of 30 days for the analytics bench: written by several processes, indexed, rolled up;
kept where asked."""

import asyncio
import multiprocessing
import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final

from bson import ObjectId
from pymongo import MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from rich.progress import Progress

from app.analytics.rollup.advance import advance
from indexes import sync
from models.analytics import Analytics
from models.base import Raw

APP: Final = "bench"
DAYS: Final = 30
_PEOPLE: Final = 20_000
_CATEGORIES: Final = ("engagement", "conversion", "error", "custom")
_NAMES: Final = [(f"event_{number}", _CATEGORIES[number % 4]) for number in range(40)]
_CHUNK: Final = 50_000
_BATCH: Final = 5_000
_WINDOW: Final = 20_000
_NOTE: Final = "bench"


async def prepare(
    database: AsyncDatabase[Raw], uri: str, size: int, end: datetime, progress: Progress
) -> datetime:
    """Fill a database and roll it up, or go on where an earlier run has stopped.

    Args:
        database: the one that the documents are bound to.
        uri: where it is.
        size: how many events.
        end: the midnight (UTC) at which the 30 days end, where nothing is there yet.
        progress: of the whole bench.

    Returns:
        The midnight at which they end.
    """
    notes = database[_NOTE]
    note = await notes.find_one({"_id": _NOTE})
    if note is None:
        await Analytics.raw().drop()
        await _fill(uri, database.name, size, end, progress)
        await notes.insert_one({"_id": _NOTE, "end": end})
    else:
        end = note["end"]
    task = progress.add_task(f"{size:,}: building indexes", total=None)
    await sync.apply(database, await sync.plan(database))
    progress.remove_task(task)
    task = progress.add_task(f"{size:,}: rolling up", total=size)
    while added := await advance(timedelta(0), _WINDOW):
        progress.advance(task, added)
    progress.remove_task(task)
    return end


async def _fill(uri: str, database: str, size: int, end: datetime, progress: Progress) -> None:
    task = progress.add_task(f"{size:,}: writing events", total=size)
    loop = asyncio.get_running_loop()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        chunks = [
            loop.run_in_executor(pool, _write, uri, database, size, end, first)
            for first in range(0, size, _CHUNK)
        ]
        for chunk in asyncio.as_completed(chunks):
            progress.advance(task, await chunk)
    progress.remove_task(task)


def _write(uri: str, database: str, size: int, end: datetime, first: int) -> int:
    """Write one chunk of the events; the same ones at every run."""
    with MongoClient[Raw](uri) as client:
        events = client[database][Analytics.Settings.name]
        rows = list(_rows(size, end, first))
        for start in range(0, len(rows), _BATCH):
            events.insert_many(rows[start : start + _BATCH], ordered=False)
    return len(rows)


def _rows(size: int, end: datetime, first: int) -> Iterator[Raw]:
    """Events of a chunk, in the order in which they came in."""
    chance = random.Random(first)
    start, step = end - timedelta(days=DAYS), timedelta(days=DAYS) / size
    for number in range(first, min(size, first + _CHUNK)):
        yield _row(chance, start + step * number, number)


def _row(chance: random.Random, moment: datetime, number: int) -> Raw:
    name, category = _NAMES[min(19, int(chance.expovariate(0.3)))]
    person = int(chance.triangular(0, _PEOPLE, 0))
    row: dict[str, Any] = {
        "_id": ObjectId(),
        "appId": APP,
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
    return row
