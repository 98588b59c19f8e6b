"""The dispatcher: each job is begun as it falls due, whoever made it, beside those of other kinds
that take long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.jobs import Claim, Handler, claim, dispatch
from app.jobs.bell import Bell
from app.jobs.dispatch import JOBS, Dispatcher
from app.jobs.periodic import ensure_periodic
from models.base import Raw, now
from models.job import Job

pytestmark = pytest.mark.usefixtures("database")
SOON = 20
"""Seconds within which something comes that is to come at once; less than any wait of an idle
worker."""


@asynccontextmanager
async def dispatching(
    handlers: dict[str, Handler], bell: Bell, poll: float = 60, **options: Any
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(Dispatcher(handlers, bell, poll, **options).work(stop))
    try:
        yield
    finally:
        stop.set()
        await running


class Begun:
    """Handlers that note what was begun."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._one = asyncio.Event()

    async def __call__(self, held: Claim) -> None:
        self.names.append(str(held.job.id))
        self._one.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(SOON):
            while len(self.names) < count:
                await self._one.wait()
                self._one.clear()


def served() -> Bell:
    bell = Bell([JOBS, "watched"])
    bell.is_served = True
    return bell


async def add(name: str, kind: str = "k", at: datetime | None = None) -> None:
    await Job(id=name, kind=kind, run_at=at or now()).add()


async def test_a_job_that_another_made_is_begun_while_the_worker_is_idle() -> None:
    begun, bell = Begun(), served()
    async with dispatching({"k": begun}, bell):
        await idle(bell)
        await add("a")
        bell.ring(JOBS, now())
        await begun.wait_for(1)
    assert begun.names == ["a"]


async def idle(bell: Bell) -> None:
    """Until the dispatcher waits for the bell."""
    async with asyncio.timeout(SOON):
        while not bell._rung._waiters:
            await asyncio.sleep(0.01)


async def test_jobs_are_begun_when_they_fall_due_and_not_before() -> None:
    begun, moment = Begun(), now()
    late = list[float]()

    async def handler(held: Claim) -> None:
        late.append((now() - held.job.run_at).total_seconds())
        await begun(held)

    for number in range(3):
        await add(f"j{number}", at=moment + timedelta(milliseconds=300 * (3 - number)))
    async with dispatching({"k": handler}, served()):
        await begun.wait_for(3)
    assert begun.names == ["j2", "j1", "j0"]
    assert min(late) >= 0


async def test_a_kind_that_takes_long_holds_up_no_other() -> None:
    begun, hang = Begun(), asyncio.Event()

    async def hangs(held: Claim) -> None:
        await begun(held)
        await hang.wait()

    await add("long", "long")
    bell = served()
    async with dispatching({"long": hangs, "k": begun}, bell):
        await begun.wait_for(1)
        for name in ("a", "b"):
            await add(name)
        bell.ring(JOBS, now())
        await begun.wait_for(3)
        assert await Job.raw().count_documents({"_id": "long", "state": "due"}) == 1
        hang.set()
    assert sorted(begun.names) == ["a", "b", "long"]


async def test_of_a_kind_only_so_many_are_done_at_once() -> None:
    begun, hang = Begun(), asyncio.Event()

    async def hangs(held: Claim) -> None:
        await begun(held)
        await hang.wait()

    for number in range(5):
        await add(f"j{number}")
    bell = served()
    async with dispatching({"k": hangs}, bell, places={"k": 2}):
        await begun.wait_for(2)
        await idle(bell)
        assert len(begun.names) == 2
        hang.set()
        await begun.wait_for(5)


async def test_a_periodic_job_is_due_again_when_it_says_and_after_its_period_at_the_latest() -> (
    None
):
    moments = iter([timedelta(seconds=5), timedelta(hours=5), timedelta(seconds=-5), None])
    waits = list[float]()

    async def handler(_: Claim) -> datetime | None:
        wait = next(moments)
        return None if wait is None else now() + wait

    await ensure_periodic("watched", "watched", 60)
    for _ in range(4):
        begun = now()
        await Job.raw().update_one({"_id": "watched"}, {"$set": {"runAt": begun}})
        held = await claim(["watched"])
        assert held is not None
        await dispatch.perform(held, handler)
        row = await Job.raw().find_one({"_id": "watched"})
        assert row is not None
        waits.append((row["runAt"] - row["lastRunAt"]).total_seconds())
    assert [round(wait) for wait in waits] == [5, 60, 1, 60]


async def test_a_periodic_job_is_begun_before_its_time_where_there_is_something_to_do() -> None:
    begun, bell = Begun(), served()
    await ensure_periodic("watched", "watched", 3600)
    async with dispatching({"watched": begun}, bell, woken=["watched"]):
        await begun.wait_for(1)
        for count in (2, 3):
            bell.ring("watched", now())
            await begun.wait_for(count)


async def test_what_comes_while_the_job_is_at_it_is_looked_at_afterwards() -> None:
    begun, bell, go_on = Begun(), served(), asyncio.Event()

    async def handler(held: Claim) -> None:
        await begun(held)
        await go_on.wait()

    await ensure_periodic("watched", "watched", 3600)
    async with dispatching({"watched": handler}, bell, woken=["watched"]):
        await begun.wait_for(1)
        bell.ring("watched", now())
        go_on.set()
        await begun.wait_for(2)


async def test_news_do_not_hurry_a_job_that_has_failed() -> None:
    tried, bell = Begun(), served()

    async def fails(held: Claim) -> None:
        await tried(held)
        raise LookupError

    await ensure_periodic("watched", "watched", 3600)
    await ensure_periodic("other", "other", 3600)
    others = Begun()
    async with dispatching({"watched": fails, "other": others}, bell, woken=["watched"]):
        await tried.wait_for(1)
        async with asyncio.timeout(SOON):
            while not (
                (await row("watched")).get("lastError") and (await row("other")).get("lastRunAt")
            ):
                await asyncio.sleep(0.01)
        bell.ring("watched", now())
        await Job.raw().update_one({"_id": "other"}, {"$set": {"runAt": now()}})
        bell.ring(JOBS, now())
        await others.wait_for(2)
    assert len(tried.names) == 1


async def row(name: str) -> Raw:
    return await Job.raw().find_one({"_id": name}) or {}


async def test_without_anybody_who_rings_it_looks_by_itself() -> None:
    begun, bell = Begun(), Bell([JOBS, "watched"])
    await ensure_periodic("watched", "watched", 3600)
    async with dispatching({"k": Begun(), "watched": begun}, bell, poll=0.05, woken=["watched"]):
        await begun.wait_for(3)


async def test_it_looks_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatcher = Dispatcher({}, Bell(), 1.0)
    pauses = [dispatcher._longer() for _ in range(6)]
    assert pauses == [1.0, 1.5, 2.25, 3.375, 5.0, 5.0]


async def test_several_workers_begin_each_job_once() -> None:
    begun = Begun()
    bells = [served() for _ in range(3)]
    async with (
        dispatching({"k": begun}, bells[0]),
        dispatching({"k": begun}, bells[1]),
        dispatching({"k": begun}, bells[2]),
    ):
        for number in range(20):
            await add(f"j{number}")
            for bell in bells:
                bell.ring(JOBS, now())
        await begun.wait_for(20)
    assert sorted(begun.names) == sorted(f"j{number}" for number in range(20))


async def test_a_job_of_a_worker_that_died_is_begun_when_its_lease_ends() -> None:
    begun = Begun()
    await add("a")
    assert await claim(["k"]) is not None
    await Job.raw().update_one(
        {"_id": "a"}, {"$set": {"leasedUntil": now() + timedelta(seconds=1)}}
    )
    async with dispatching({"k": begun}, served()):
        await begun.wait_for(1)


async def test_a_wake_up_that_the_database_did_not_hear_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, bell = Begun(), served()
    await ensure_periodic("watched", "watched", 3600)
    calls = list[str]()
    real = dispatch.claim_now

    async def fails_once(name: str) -> Claim | None:
        calls.append(name)
        if len(calls) == 1:
            raise ConnectionError
        return await real(name)

    monkeypatch.setattr(dispatch, "claim_now", fails_once)
    async with dispatching({"watched": begun}, bell, poll=0.05, woken=["watched"]):
        await begun.wait_for(1)
        bell.ring("watched", now())
        await begun.wait_for(2)
    assert len(calls) == 2


async def test_many_jobs_of_one_kind_hide_none_of_another() -> None:
    """More are due than a worker asks for at once, and the one in hand never ends."""
    stuck, others = asyncio.Event(), Begun()

    async def hang(_: Claim) -> None:
        await stuck.wait()

    early = now() - timedelta(hours=1)
    await Job.raw().insert_many(
        [Job(id=f"many-{n}", kind="many", run_at=early).stored() for n in range(300)]
    )
    await add("other", "other")
    async with dispatching({"many": hang, "other": others}, served()):
        await others.wait_for(1)
        stuck.set()
    assert others.names == ["other"]


async def test_many_jobs_of_one_kind_are_done_without_a_pause_between() -> None:
    """None rings the bell, and a worker asks by itself once a minute."""
    begun = Begun()
    early = now() - timedelta(hours=1)
    await Job.raw().insert_many(
        [Job(id=f"many-{n}", kind="k", run_at=early).stored() for n in range(300)]
    )
    async with dispatching({"k": begun}, served()):
        await begun.wait_for(300)
    assert len(set(begun.names)) == 300
