"""Rows that cannot be read or changed, met by the jobs of domains."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.cards import delivery
from app.cards import jobs as cards
from app.cards.jobs import tell_batch
from app.connections import jobs as connections
from app.jobs import dispatch, run_one
from app.jobs.bell import Bell
from app.jobs.dispatch import Dispatcher
from app.jobs.periodic import keep_jobs
from app.relations import jobs as relations
from app.relations.unreadable import READ, check_rows
from app.repositories import jobs as repositories
from app.settings import Settings
from app.work import HOOKS
from models.app_data import AppData
from models.aside import SET_ASIDE
from models.base import Raw, Stored, now
from models.card_event import NOBODY, CardEvent
from models.card_queue import CardQueue
from models.connection import Connection
from models.deletion import Deletion
from models.job import Job
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent

pytestmark = pytest.mark.usefixtures("database")


USER, PAST = ObjectId(), timedelta(seconds=5)


def aside_of(document: type[Stored]) -> float:
    return SET_ASIDE.labels(document.collection_name())._value.get()


def ledger(root: str = "users", **fields: Any) -> Raw:
    entry = Deletion(
        id=ObjectId(), root=root, by="x", at=now(), next_sweep_at=now() - PAST, stage="done"
    )
    return entry.stored() | fields


def event(**fields: Any) -> Raw:
    found = WebhookEvent(
        connection_id=ObjectId(), delivery_id=str(ObjectId()), event="push", payload={}
    )
    return {"_id": ObjectId(), **found.stored(), **fields}


def link(**fields: Any) -> Raw:
    row = {
        "kind": "bank",
        "originId": ObjectId(),
        "ownerId": ObjectId(),
        "accessToken": "v1.k.x",
        "details": {},
    }
    times = {"createdAt": now(), "updatedAt": now(), "nextAttemptAt": now() - PAST}
    return {"_id": ObjectId(), **row, **times, "attempts": 0, "version": 1, **fields}


async def all_links() -> list[OutsideLink]:
    found = list[OutsideLink]()
    while (claimed := await OutsideLink.claim("bank")) is not None:
        found.append(claimed)
    return found


FOUND: dict[str, tuple[type[Stored], Callable[..., Raw], Raw, Callable[[], Any]]] = {
    "deletions": (Deletion, ledger, {"stage": "x"}, lambda: Deletion.find_due(now(), 9)),
    "webhookevents": (WebhookEvent, event, {"payload": None}, lambda: WebhookEvent.find_waiting(9)),
    "outsidelinks": (OutsideLink, link, {"attempts": "x"}, all_links),
}


@pytest.mark.parametrize("name", FOUND)
async def test_rows_that_cannot_be_read_are_set_aside_and_found_once(name: str) -> None:
    document, make, odd, find = FOUND[name]
    good = make()
    await document.raw().insert_many([make(**odd), good])
    before = aside_of(document)
    assert [found.id for found in await find()] == [good["_id"]]
    assert [found.id for found in await find()] in (
        [],
        [good["_id"]],
    )  # a link is claimed, the others are found again
    assert aside_of(document) - before == 1


async def test_a_repository_that_cannot_be_read_is_put_off() -> None:
    await RepositoryConnection.raw().insert_one(
        {"_id": ObjectId(), "nextHealthCheckAt": now() - PAST}
    )
    assert await RepositoryConnection.claim_due() is None
    assert (
        await RepositoryConnection.raw().count_documents({"nextHealthCheckAt": {"$gt": now()}}) == 1
    )


async def test_an_entry_that_cannot_be_swept_is_put_off_and_the_others_of_its_group_are_swept(
    base_settings: Settings,
) -> None:
    good, odd = ledger(), ledger(root="nowhere")
    await Deletion.raw().insert_many([good, odd])
    await Job.raw().insert_one(Job(id="late-sweeps", kind="late-sweeps", run_at=now()).stored())
    assert await run_one(relations.handlers(base_settings, HOOKS))
    rows = {row["_id"]: row async for row in Deletion.raw().find({})}
    assert (rows[good["_id"]]["final"], rows[odd["_id"]]["final"]) == (True, False)
    assert rows[odd["_id"]]["nextSweepAt"] > now()
    assert "lastError" not in (await Job.raw().find_one({"_id": "late-sweeps"}) or {})


async def test_a_fan_out_that_cannot_be_read_or_told_keeps_no_other() -> None:
    good = fan_out()
    await CardEvent.raw().insert_many([fan_out(type="x"), good])
    found = await CardEvent.find_fan_out()
    assert found is not None
    assert found.id == good["_id"]
    assert await CardEvent.find_fan_out([good["_id"]]) is None
    assert await tell_batch(found) == 0


async def test_the_check_names_the_rows_that_cannot_be_read() -> None:
    odd = Job(id="odd", kind="k", run_at=now()).stored() | {"progress": None}
    queue = CardQueue(id=ObjectId(), account_id=ObjectId(), due_at=now()).stored() | {"last": None}
    await Job.raw().insert_many([odd, Job(id="good", kind="k", run_at=now()).stored()])
    await CardQueue.raw().insert_one(queue)
    await AppData.put(USER, "notes", "k", {"$ref": 1}, size=1, by="x")
    scans = {scan.id: scan for scan in await check_rows()}
    assert set(scans) == {document.collection_name() for document in READ}
    assert {name: scan.unreadable for name, scan in scans.items() if scan.unreadable} == {
        "jobs": 1,
        "cardqueues": 1,
    }
    assert scans["jobs"].samples == [{"kind": "unreadable", "id": "odd"}]
    assert (scans["jobs"].scanned, scans["appdata"].scanned) == (2, 1)


async def test_the_loop_that_pulls_jobs_in_outlives_whatever_it_meets(
    base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = asyncio.Event()

    async def fails() -> None:
        stop.set()
        raise TypeError("odd")

    monkeypatch.setattr("app.jobs.periodic.pull_in", fails)
    await keep_jobs(base_settings, stop)
    assert stop.is_set()


async def test_the_loops_of_a_worker_outlive_whatever_a_row_brings(
    base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delivery and jobs: a fault that nobody foresaw is told, and the loop comes by again."""
    settings = base_settings.model_copy(update={"worker_poll_seconds": 0.01})
    for name, module in (("deliver_due", delivery), ("upcoming", dispatch)):
        stop, calls = asyncio.Event(), list[int]()

        async def odd(*_: Any, calls: list[int] = calls, stop: asyncio.Event = stop) -> None:
            calls.append(1)
            if len(calls) == 3:
                stop.set()
            raise TypeError("odd")

        monkeypatch.setattr(module, name, odd)
        loop = (
            delivery.deliver(settings, stop)
            if module is delivery
            else Dispatcher({}, Bell(), 0.01).work(stop)
        )
        await loop
        assert len(calls) == 3


def repository(**fields: Any) -> Raw:
    sealed = {"v": 1, "k": "k", "n": b"n", "c": b"c"}
    row: Raw = {
        "projectId": ObjectId(),
        "repositoryUrl": f"https://github.com/a/{ObjectId()}",
        "serviceType": "GitHub",
    }
    times = {
        name: now() - PAST
        for name in ("createdAt", "updatedAt", "connectedAt", "nextHealthCheckAt")
    }
    return {
        "_id": ObjectId(),
        **row,
        **times,
        "accessToken": sealed,
        "webhookSecret": sealed,
        "version": 1,
        **fields,
    }


def connection(**fields: Any) -> Raw:
    row: Raw = {
        "userId": ObjectId(),
        "provider": "sandbox",
        "institution": "B",
        "label": "l",
        "status": "connected",
    }
    times = {
        name: now() - PAST
        for name in ("createdAt", "updatedAt", "authenticatedAt", "nextAttemptAt")
    }
    sealed = {"v": 1, "k": "k", "n": b"n", "c": b"c"}
    return {
        "_id": ObjectId(),
        **row,
        **times,
        "accessToken": sealed,
        "syncFence": 0,
        "version": 1,
        **fields,
    }


def fan_out(**fields: Any) -> Raw:
    found = CardEvent(
        account_id=ObjectId(),
        subject=ObjectId(),
        sequence=1,
        type="spending_profile.updated",
        fan_out_after=NOBODY,
    )
    return {"_id": ObjectId(), **found.stored(), **fields}


TURNS: dict[str, tuple[Any, str, type[Stored], Callable[..., Raw]]] = {
    "process-webhook-events": (repositories, "process", WebhookEvent, event),
    "check-repositories": (repositories, "check", RepositoryConnection, repository),
    "fan-out-spending-profiles": (cards, "tell_batch", CardEvent, fan_out),
    "sync-connections": (connections, "sync", Connection, connection),
}


@pytest.mark.parametrize("name", TURNS)
async def test_a_row_whose_turn_fails_is_told_once_and_keeps_no_other(
    name: str, base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, turn, document, make = TURNS[name]
    odd, good = make(), make()
    await document.raw().insert_many([odd, good])
    taken = list[ObjectId]()

    async def take(found: Any, *_: Any) -> Any:
        taken.append(found.id)
        if found.id == odd["_id"]:
            raise KeyError("amiss")
        if document is WebhookEvent:
            return await found.settle("processed", None)
        later = dict.fromkeys(("nextHealthCheckAt", "nextAttemptAt"), now() + timedelta(hours=1))
        done = {"$set": later, "$unset": {"fanOutAfter": ""}}
        await document.raw().update_one({"_id": found.id}, done)
        return 0

    monkeypatch.setattr(jobs, turn, take)
    await Job.raw().insert_one(Job(id=name, kind=name, run_at=now()).stored())
    before = aside_of(document)
    assert await run_one(jobs.handlers(base_settings))
    assert (sorted(taken), aside_of(document) - before) == (sorted([odd["_id"], good["_id"]]), 1)
    assert (await Job.raw().find_one({"_id": name}) or {})["state"] == "done"


async def test_a_connection_that_cannot_be_read_is_put_off_and_keeps_no_other(
    base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, good, taken = (
        connection(userId="x", nextAttemptAt=now() - 2 * PAST),
        connection(),
        list[Any](),
    )
    await Connection.raw().insert_many([odd, good])

    async def sync(found: Connection, *_: Any) -> None:
        taken.append(found.id)

    monkeypatch.setattr(connections, "sync", sync)
    await Job.raw().insert_one(
        Job(id="sync-connections", kind="sync-connections", run_at=now()).stored()
    )
    assert await run_one(connections.handlers(base_settings))
    row = await Connection.raw().find_one({"_id": odd["_id"]})
    assert row is not None
    assert (taken, row["nextAttemptAt"] > now()) == ([good["_id"]], True)
