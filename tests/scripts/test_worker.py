"""A worker in a process of its own: next to nothing while there is nothing to do, and at once when
there is."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

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
    assert (
        operations(satchel) - before < 50
    )  # some thirty; a worker that asks each second makes sixty of them
    for ahead in (timedelta(), timedelta(seconds=2)):
        made = make_job(satchel, ahead)
        until(
            lambda made=made: job(satchel, made)["state"] == "done", 20
        )  # by itself it looks each minute
        assert job(satchel, made)["lastRunAt"] >= job(satchel, made)["runAt"]


def make_job(satchel: Served, ahead: timedelta) -> ObjectId:
    """A job that is due then, of a deletion that is not there: nothing is to be done for it."""
    moment, made = datetime.now(UTC), ObjectId()
    fields = {
        "kind": "sweep-deletion",
        "state": "due",
        "runAt": moment + ahead,
        "attempts": 0,
        "fence": 0,
    }
    times = {"createdAt": moment, "updatedAt": moment, "version": 1, "progress": {}}
    satchel.database["jobs"].insert_one({"_id": made, **fields, **times})
    return made


def job(satchel: Served, job_id: ObjectId) -> dict[str, Any]:
    found: dict[str, Any] = satchel.database["jobs"].find_one({"_id": job_id})
    return found
