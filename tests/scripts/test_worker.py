"""A worker in a process of its own: next to nothing while there is nothing to do, and at once when there is."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from models.job import Job
from tests.serving import Served, served

COUNTED = ("insert", "query", "update", "delete", "getmore", "command")


@pytest.fixture
def satchel(mongodb_uri: str, tmp_path: Path) -> Iterator[Served]:
    with served(mongodb_uri, tmp_path) as found:
        found.start("worker")
        yield found


def operations(satchel: Served) -> int:
    """How many mongod has done, whoever asked for them."""
    counters: dict[str, int] = satchel.database.client.admin.command("serverStatus")["opcounters"]
    return sum(counters[name] for name in COUNTED)


def until(holds: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


def is_idle(satchel: Served) -> bool:
    before = operations(satchel)
    time.sleep(5)
    return operations(satchel) - before < 20


def test_an_idle_satchel_asks_next_to_nothing_and_begins_what_others_make(satchel: Served) -> None:
    until(lambda: satchel.database["jobs"].count_documents({"lastRunAt": {"$exists": True}}) > 5)
    until(lambda: is_idle(satchel), 120)
    before = operations(satchel)
    time.sleep(30)
    assert operations(satchel) - before < 60
    made = ObjectId()
    job = Job(id=made, kind="sweep-deletion", run_at=datetime.now(UTC)).stored()  # type: ignore[arg-type]
    satchel.database["jobs"].insert_one(job)
    until(lambda: satchel.database["jobs"].find_one({"_id": made})["state"] == "done", 20)  # it looks each minute
    later = ObjectId()
    job = Job(id=later, kind="sweep-deletion", run_at=datetime.now(UTC) + timedelta(seconds=2)).stored()  # type: ignore[arg-type]
    satchel.database["jobs"].insert_one(job)
    until(lambda: satchel.database["jobs"].find_one({"_id": later})["state"] == "done", 20)
    row = satchel.database["jobs"].find_one({"_id": later})
    assert row["lastRunAt"] >= row["runAt"]
