"""Leases: who is in use is renewed together with others, who is gone is not held whatever a slow
read says."""

import asyncio
import time
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.errors import NotFound
from app.relations.leases import Leases
from models.user import User

Raw = dict[str, Any]


async def _users(count: int) -> list[ObjectId]:
    return [(await User().add()).id for _ in range(count)]  # type: ignore[misc]


class Clock:
    """The monotonic clock as the test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("app.relations.leases.time", clock)
    return clock


async def test_one_read_renews_every_lease_in_use_that_runs_out_soon(
    database: AsyncDatabase[Raw], clock: Clock
):
    leases = Leases(5.0)
    first, second, idle = await _users(3)
    for user in (first, second, idle):
        await leases.hold(User, user)
    leases._used.clear()
    assert leases.is_held(second)
    clock.now += 5.0
    assert not any(map(leases.is_held, (first, second, idle)))
    await leases.hold(User, first)
    assert leases.is_held(first)
    assert leases.is_held(second)
    assert not leases.is_held(idle)


async def test_a_renewed_lease_ends_in_its_time_too(database: AsyncDatabase[Raw], clock: Clock):
    leases = Leases(5.0)
    first, second = await _users(2)
    await leases.hold(User, second)
    assert leases.is_held(second)
    clock.now += 3.0
    await leases.hold(User, first)
    clock.now += 4.9
    assert leases.is_held(second)
    clock.now += 0.1
    assert not leases.is_held(second)


async def test_a_renewal_drops_whoever_is_gone(database: AsyncDatabase[Raw], clock: Clock):
    leases = Leases(5.0)
    first, second = await _users(2)
    await leases.hold(User, second)
    assert leases.is_held(second)
    await User.raw().delete_one({"_id": second})
    clock.now += 3.0
    await leases.hold(User, first)
    assert not leases.is_held(second)
    with pytest.raises(NotFound):
        await leases.hold(User, second)


async def test_a_lease_dropped_during_a_read_is_not_granted_by_it(
    database: AsyncDatabase[Raw], monkeypatch: pytest.MonkeyPatch
):
    leases = Leases(5.0)
    (user,) = await _users(1)
    seen, go_on = asyncio.Event(), asyncio.Event()
    existing = leases._existing

    async def slow(*arguments: Any) -> set[ObjectId]:
        found = await existing(*arguments)
        seen.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(leases, "_existing", slow)
    holding = asyncio.ensure_future(leases.hold(User, user))
    await seen.wait()
    await User.raw().delete_one({"_id": user})
    leases.drop(user)
    go_on.set()
    with pytest.raises(NotFound):
        await holding
    assert not leases.is_held(user)


async def test_many_at_once_share_their_reads(database: AsyncDatabase[Raw]):
    leases = Leases(5.0)
    users = await _users(5)
    started = time.monotonic()
    await asyncio.gather(*(leases.hold(User, user) for user in users * 20))
    assert all(map(leases.is_held, users))
    assert time.monotonic() - started < 5


async def test_many_are_held_by_one_read(
    database: AsyncDatabase[Raw], monkeypatch: pytest.MonkeyPatch
):
    leases = Leases(5.0)
    users = await _users(20)
    reads: list[list[ObjectId]] = []
    existing = leases._existing

    async def counted(parent: type[User], ids: list[ObjectId]) -> set[ObjectId]:
        reads.append(ids)
        return await existing(parent, ids)

    monkeypatch.setattr(leases, "_existing", counted)
    assert await leases.hold_many(User, users) == set()
    assert [set(ids) for ids in reads] == [set(users)]
    assert await leases.hold_many(User, users) == set()
    assert len(reads) == 1
    gone = ObjectId()
    assert await leases.hold_many(User, [*users, gone]) == {gone}
    assert await leases.hold_living(User, [*users, gone]) == {gone}
    assert all(map(leases.is_held, users))
    assert not leases.is_held(gone)
