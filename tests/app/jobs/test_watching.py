"""Watching: whoever writes what is to be done wakes every worker; where that breaks, nothing is
missed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from beanie import PydanticObjectId
from bson import ObjectId
from pymongo import AsyncMongoClient

from app.cards.delivery import QUEUES
from app.jobs import claim, watching
from app.jobs.bell import Bell
from app.jobs.dispatch import JOBS
from app.jobs.watching import Watch
from app.work import WATCHED
from models.app import App
from models.app_data import AppData
from models.base import Raw, now
from models.card_event import NOBODY, CardEvent
from models.card_queue import CardQueue
from models.connection import Connection
from models.deletion import Deletion
from models.job import Job
from models.ledger_note import LedgerNote
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from models.webhook_event import LOST, WebhookEvent

pytestmark = pytest.mark.usefixtures("database")
SOON: Final = 20
HISTORY_LOST, NO_REPLICA_SET, NOT_PRIMARY = 286, 40573, 10107


class Rung(Bell):
    """A bell that notes what it was rung for."""

    def __init__(self) -> None:
        super().__init__(WATCHED)
        self.rung: list[tuple[str, datetime]] = []
        self.turns: list[bool] = []
        self._news = asyncio.Event()

    def ring(self, name: str, at: datetime) -> None:
        self.rung.append((name, at))
        self._news.set()

    def wake(self) -> None:
        self.turns.append(self.is_served)
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON):
            while not holds():
                self._news.clear()
                await self._news.wait()

    def names(self) -> set[str]:
        return {name for name, _ in self.rung}


@asynccontextmanager
async def watched(bell: Rung) -> AsyncIterator[None]:
    running = asyncio.create_task(Watch(WATCHED, [bell]).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def open_one(bell: Rung) -> None:
    """Until the stream is open and everything was rung for once."""
    await bell.until(lambda: bell.is_served and bell.names() == set(WATCHED))
    bell.rung.clear()


AT: Final = now() + timedelta(hours=1)


async def job() -> None:
    await Job(id="j", kind="k", run_at=AT).add()


async def job_at_another_time() -> None:
    await Job.raw().update_one({"_id": "there"}, {"$set": {"runAt": AT}})


async def card_queue() -> None:
    await CardQueue(id=PydanticObjectId(), account_id=PydanticObjectId(), due_at=now()).add()


async def card_event() -> None:
    await CardQueue.next_sequences([there], session=None)


async def fan_out() -> None:
    await CardEvent(
        account_id=PydanticObjectId(),
        subject=PydanticObjectId(),
        sequence=1,
        type="spending_profile.updated",
        fan_out_after=NOBODY,
    ).add()


async def webhook_event() -> None:
    await WebhookEvent(
        connection_id=PydanticObjectId(), delivery_id="d", event="push", payload={}
    ).add()


async def webhook_event_that_came_again() -> None:
    """One that was told as lost, and is there now."""
    lost = WebhookEvent(
        connection_id=there, delivery_id="d", event="push", payload={}, received_at=now()
    )
    assert await lost.refill() is not None


async def value() -> None:
    await AppData.put(ObjectId(), "notes", "k", 1, size=1, by="x", expires_at=AT)


async def value_again() -> None:
    await AppData.put(there, "notes", "k", 2, size=1, by="x", expires_at=AT)


async def changed_queries() -> None:
    await App(id="notes", queries_changed_at=AT).add()


async def deletion() -> None:
    await Deletion(id=PydanticObjectId(), root="users", by="x", at=now(), next_sweep_at=AT).add()


async def connection() -> None:
    await Connection.raw().update_one({"_id": there}, {"$set": {"nextAttemptAt": AT}})


async def repository() -> None:
    await RepositoryConnection.raw().update_one({"_id": there}, {"$set": {"nextHealthCheckAt": AT}})


async def link() -> None:
    await OutsideLink.raw().insert_one({"_id": ObjectId(), "kind": "bank", "nextAttemptAt": AT})


there: Final = PydanticObjectId()


async def note_for_the_ledger() -> None:
    await LedgerNote.revoke(there, None)


WRITES: Final[dict[Callable[[], Awaitable[None]], tuple[set[str], bool]]] = {
    job: ({JOBS}, True),
    job_at_another_time: ({JOBS}, True),
    changed_queries: ({"build-app-queries"}, True),
    card_queue: ({QUEUES}, False),
    card_event: ({QUEUES}, False),
    fan_out: ({"fan-out-spending-profiles"}, False),
    webhook_event: ({"process-webhook-events"}, False),
    webhook_event_that_came_again: ({"process-webhook-events"}, False),
    value: ({"expire-app-data"}, True),
    value_again: ({"expire-app-data"}, True),
    deletion: ({"late-sweeps"}, True),
    connection: ({"sync-connections"}, True),
    repository: ({"check-repositories"}, True),
    note_for_the_ledger: ({"note-deletions"}, False),
    link: ({"remove-bank-links", "remove-webhooks"}, True),
}
"""What writes something to do -> the names that are rung, and whether for the time that was
written."""


async def have_rows() -> None:
    await Job(id="there", kind="k", run_at=now()).add()
    await CardQueue(id=there, account_id=PydanticObjectId(), due_at=now()).add()
    await AppData.put(there, "notes", "k", 1, size=1, by="x")
    event = WebhookEvent(
        connection_id=there, delivery_id="d", event="push", payload={}, status="failed", error=LOST
    )
    await WebhookEvent.raw().insert_one(event.stored() | {"receivedAt": now() - timedelta(hours=1)})
    for document in (Connection, RepositoryConnection):
        await document.raw().insert_one({"_id": there})


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
async def test_what_is_written_wakes_who_is_to_do_it(write: Callable[[], Awaitable[None]]) -> None:
    bell = Rung()
    await have_rows()
    names, timed = WRITES[write]
    async with watched(bell):
        await open_one(bell)
        await write()
        await bell.until(lambda: bell.names() == names)
    assert all((at == AT) == timed for _, at in bell.rung)


def test_every_name_is_rung_by_some_write() -> None:
    assert set.union(*(names for names, _ in WRITES.values())) == set(WATCHED)


async def test_what_workers_write_of_their_own_work_wakes_nobody() -> None:
    bell = Rung()
    await have_rows()
    await Job.raw().update_one({"_id": "there"}, {"$set": {"everySeconds": 60}})
    async with watched(bell):
        await open_one(bell)
        held = await claim(["k"])
        assert held is not None
        await held.renew(done=1)
        await held.finish()
        await CardQueue.raw().update_one({"_id": there}, {"$set": {"waiting": 1}})
        queue = await CardQueue.claim()
        assert queue is not None
        assert await queue.release(now())
        await AppData.put(there, "notes", "other", 1, size=1, by="x")
        await webhook_event()  # comes behind all of these
        await bell.until(lambda: bool(bell.rung))
    assert bell.names() == {"process-webhook-events"}


async def test_changes_that_come_in_a_crowd_are_all_told() -> None:
    bell = Rung()
    async with watched(bell):
        await open_one(bell)
        rows: list[Raw] = [
            Job(id=f"j{number}", kind="k", run_at=now()).stored() for number in range(500)
        ]
        await Job.raw().insert_many(rows)
        await bell.until(lambda: len(bell.rung) == 500)


@pytest.mark.parametrize(
    ("command", "code"),
    [("getMore", HISTORY_LOST), ("getMore", NOT_PRIMARY), ("aggregate", NO_REPLICA_SET)],
    ids=["history", "failover", "standalone"],
)
async def test_a_stream_that_breaks_is_told_and_everything_looked_at_when_it_is_back(
    command: str, code: int, client: AsyncMongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_AWAIT_SECONDS", 0.1)
    bell = Rung()
    fault = {"failCommands": [command, "aggregate"], "errorCode": code, "appName": "satchel"}
    async with watched(bell):
        await open_one(bell)
        await client.admin.command(
            "configureFailPoint", "failCommand", mode={"times": 4}, data=fault
        )
        try:
            if command == "getMore":
                await bell.until(lambda: False in bell.turns)
            await bell.until(
                lambda: bell.is_served and (command == "aggregate" or bell.names() == set(WATCHED))
            )
        finally:
            await client.admin.command("configureFailPoint", "failCommand", mode="off")
        bell.rung.clear()
        await job()
        await bell.until(lambda: JOBS in bell.names())


async def test_where_no_stream_can_be_had_nobody_serves_the_bell(
    client: AsyncMongoClient[Any],
) -> None:
    bell = Rung()
    fault = {"failCommands": ["aggregate"], "errorCode": NO_REPLICA_SET, "appName": "satchel"}
    await client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=fault)
    try:
        async with watched(bell):
            await bell.until(lambda: bell.turns == [False, False])
            assert not bell.is_served
            await client.admin.command("configureFailPoint", "failCommand", mode="off")
            await open_one(bell)
    finally:
        await client.admin.command("configureFailPoint", "failCommand", mode="off")
