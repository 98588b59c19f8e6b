"""The lane before the pool: its order, its end, and that no place is ever lost, whoever goes away
when."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import _csot

from app.database.lane import Lane
from app.errors import Unavailable


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time passes when it is told to."""

    now = 0.0

    def time(self) -> float:
        return self.now


class Ride:
    """Work in the lane that lasts until it is let go."""

    def __init__(self, lane: Lane) -> None:
        self.has_begun, self.left = False, None
        self.over = asyncio.Event()
        self.task = asyncio.create_task(lane.run(self._work))

    async def _work(self) -> "Ride":
        self.has_begun, self.left = True, _csot.remaining()
        await self.over.wait()
        return self

    @property
    def is_working(self) -> bool:
        return self.has_begun and not self.task.done()


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def rides(lane: Lane, count: int) -> list[Ride]:
    """So many, who have come one after the other."""
    found = []
    for _ in range(count):
        found.append(Ride(lane))
        await settle()
    return found


def play(story: Callable[[Clock], Coroutine[Any, Any, None]]) -> None:
    clock = Clock()
    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        runner.run(story(clock))


def test_so_many_work_at_once_and_the_first_to_come_is_the_next() -> None:
    async def story(_: Clock) -> None:
        lane = Lane(2, 5)
        all_of_them = await rides(lane, 5)
        assert [ride.is_working for ride in all_of_them] == [True, True, False, False, False]
        all_of_them[1].over.set()
        await settle()
        assert [ride.is_working for ride in all_of_them] == [True, False, True, False, False]
        for ride in all_of_them:
            ride.over.set()
        assert [await ride.task for ride in all_of_them] == all_of_them
        assert lane.free == 2

    play(story)


def test_work_that_fails_gives_its_place_on() -> None:
    async def story(_: Clock) -> None:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise ValueError

        lane = Lane(1, 5)
        failing = [asyncio.create_task(lane.run(fail)) for _ in range(2)]
        (last,) = await rides(lane, 1)
        assert [
            type(error) for error in await asyncio.gather(*failing, return_exceptions=True)
        ] == [ValueError] * 2
        assert last.is_working

    play(story)


def test_the_wait_ends_for_each_at_its_own_time() -> None:
    async def story(clock: Clock) -> None:
        lane = Lane(1, 5)
        working, early = await rides(lane, 2)
        clock.now = 3.0
        (late,) = await rides(lane, 1)
        clock.now = 5.1
        await settle()
        assert isinstance(early.task.exception(), Unavailable)
        assert not late.task.done()
        clock.now = 8.1
        await settle()
        assert isinstance(late.task.exception(), Unavailable)
        assert (early.has_begun, late.has_begun, working.is_working) == (False, False, True)
        working.over.set()
        await settle()
        assert lane.free == 1

    play(story)


def test_the_wait_is_part_of_the_databases_time() -> None:
    async def story(clock: Clock) -> None:
        lane = Lane(1, 50)
        first, second = await rides(lane, 2)
        clock.now = 40.0
        first.over.set()
        await settle()
        assert first.left is None  # what the client allows by itself
        assert second.left is not None
        assert 0 < second.left <= 10

    play(story)


@pytest.mark.parametrize("handed", [False, True], ids=["waits", "has just been given a place"])
def test_whoever_is_cancelled_keeps_no_place(handed: bool) -> None:
    async def story(_: Clock) -> None:
        lane = Lane(1, 5)
        working, away, waits = await rides(lane, 3)
        if handed:
            working.over.set()
            while not working.task.done():
                await asyncio.sleep(0)
        assert away.task.cancel()
        working.over.set()
        await settle()
        assert (away.task.cancelled(), waits.is_working) == (True, True)
        waits.over.set()
        await settle()
        assert lane.free == 1

    play(story)


def test_whoever_is_cancelled_as_their_time_ends_hands_no_place_on() -> None:
    async def story(clock: Clock) -> None:
        lane = Lane(1, 5)
        working, away = await rides(lane, 2)
        clock.call_at(
            5.05, away.task.cancel
        )  # in the same turn, after the time is over and before they know
        clock.now = 5.1
        await settle()
        assert away.task.cancelled()
        assert lane.free == 0
        working.over.set()
        await settle()
        assert lane.free == 1

    play(story)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(["come", "end", "cancel", "time", "settle"]), st.integers(0, 20))
    )
)
def test_no_place_is_ever_lost(steps: list[tuple[str, int]]) -> None:
    async def story(clock: Clock) -> None:
        lane = Lane(3, 5)
        everybody = await rides(lane, 4)
        for step, number in steps:
            under_way = [ride for ride in everybody if not ride.task.done()]
            if step == "come":
                everybody.append(Ride(lane))
            elif step == "time":
                clock.now += number / 4
            elif step == "settle":
                await settle()
                assert lane.free + sum(ride.is_working for ride in everybody) == 3
            elif under_way:
                ride = under_way[number % len(under_way)]
                ride.task.cancel() if step == "cancel" else ride.over.set()
        for ride in everybody:
            ride.over.set()
        await asyncio.gather(*(ride.task for ride in everybody), return_exceptions=True)
        assert lane.free == 3

    play(story)
