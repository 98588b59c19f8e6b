"""Waiting in line: its end, its room, and who goes away."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Unavailable
from app.web.admission.line import RETRY_AFTER, Line, refusal
from tests.factories.lines import Guest, bounds, guests, settle


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time passes when it is told to."""

    now = 0.0

    def time(self) -> float:
        return self.now


def test_the_wait_has_an_end() -> None:
    clock = Clock()

    async def story() -> None:
        line = Line(bounds(places=1, seconds=3))
        (_, early), back = await guests(line, 2), Guest(line).come_again()
        await settle()
        clock.now = 2.3
        late = Guest(line).come()
        await settle()
        assert (early.outcome, back.outcome, late.outcome) == (None, None, None)
        clock.now = 3.1  # for some the end is a little sooner
        await settle()
        assert isinstance(early.outcome, Unavailable)
        assert isinstance(back.outcome, Unavailable)
        assert late.outcome is None
        assert line.waiting == 1
        line.leave()
        await settle()
        assert late.is_in

    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        runner.run(story())


def test_a_place_that_comes_as_the_time_ends_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("app.web.admission.line._SHORTEST", 1)

    async def story() -> None:
        line = Line(bounds(places=1, seconds=3))
        _, waits = await guests(line, 2)
        left = []
        # in the same turn, after the wait is over and before they know
        clock.call_at(3.05, lambda: left.append(line.leave()))  # type: ignore[func-returns-value]
        clock.now = 3.1
        await settle()
        assert (len(left), waits.is_in) == (1, True)
        line.leave()
        assert (line.free, line.waiting) == (1, 0)

    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        runner.run(story())


def test_those_who_came_at_one_moment_are_not_refused_in_one() -> None:
    clock = Clock()

    async def story() -> None:
        line = Line(bounds(places=1, waiting=200, seconds=10))
        many = [Guest(line).come() for _ in range(200)]
        await settle()
        left = []
        for tenth in range(78, 103):
            clock.now = tenth / 10
            await settle()
            left.append(line.waiting)
        assert (left[0], left[-1]) == (199, 0)
        assert max(before - after for before, after in pairwise(left)) < 60
        assert sum(isinstance(guest.outcome, Unavailable) for guest in many) == 199

    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        runner.run(story())


def test_a_wait_that_is_over_at_once_ends_on_the_servers_loop() -> None:
    async def story() -> None:
        line = Line(bounds(places=1, seconds=0.0001))  # uvloop takes it for now
        several = [Guest(line).come() for _ in range(4)]
        await asyncio.gather(
            *(guest.task for guest in several if guest.task), return_exceptions=True
        )
        assert [type(guest.outcome) for guest in several] == [
            str,
            Unavailable,
            Unavailable,
            Unavailable,
        ]
        line.leave()
        assert (line.free, line.waiting, line._memory) == (1, 0, 0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


def test_a_refusal_says_when_to_come_again_and_not_the_same_to_all() -> None:
    told = [refusal("full").headers["Retry-After"] for _ in range(200)]
    assert set(told) == {str(seconds) for seconds in RETRY_AFTER}
    assert min(RETRY_AFTER) >= 1


Step = tuple[str, int]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["come", "leave", "go out", "come back", "cancel", "disconnect", "time", "settle"]
        ),
        st.integers(0, 30),
    ),
    max_size=60,
)


class House:
    """Everybody who came, by what they do now. Steps without `settle` between them happen in one
    turn of the loop."""

    def __init__(self, clock: Clock) -> None:
        self.bounds = bounds(places=3, waiting=4, memory=40, seconds=5)
        self.line = Line(self.bounds)
        self.clock = clock
        self.all: list[Guest] = []
        self.inside: list[Guest] = []
        self.outside: list[Guest] = []

    @property
    def undecided(self) -> list[Guest]:
        return [guest for guest in self.all if guest.outcome is None]

    async def take(self, step: str, number: int) -> None:
        steps: dict[str, Callable[[int], None]] = {
            "come": lambda size: self.all.append(Guest(self.line).come(size)),
            "leave": lambda which: self._leave(which, then=None),
            "go out": lambda which: self._leave(which, then=self.outside),
            "come back": self._come_back,
            "cancel": lambda which: self._one_of(
                self.undecided, which, lambda guest: guest.task.cancel()
            ),  # type: ignore[union-attr]
            "disconnect": lambda which: self._one_of(
                self.undecided, which, lambda guest: guest.gone.set()
            ),
        }
        if step == "time":
            self.clock.now += number / 5
        elif step == "settle":
            await self.settle()
        else:
            steps[step](number)

    async def settle(self) -> None:
        await settle()
        entered = [guest for guest in self.all if guest.is_in]
        self.inside += [guest for guest in entered if guest not in self.inside]
        assert self.line.free + len(self.inside) == self.bounds.places
        assert self.line.waiting == len(self.undecided)
        assert not (self.line.free and self.line.waiting)

    def _leave(self, which: int, then: list[Guest] | None) -> None:
        def go(guest: Guest) -> None:
            self.inside.remove(guest)
            guest.outcome = "left"
            if then is not None:
                then.append(guest)
            self.line.leave()

        self._one_of(self.inside, which, go)

    def _come_back(self, which: int) -> None:
        self._one_of(
            self.outside, which, lambda guest: (self.outside.remove(guest), guest.come_again())
        )

    def _one_of(self, some: list[Guest], which: int, then: Callable[[Guest], object]) -> None:
        if some:
            then(some[which % len(some)])


@settings(max_examples=300)
@given(STEPS)
def test_no_place_is_ever_lost(steps: list[Step]) -> None:
    clock = Clock()

    async def story() -> None:
        house = House(clock)
        house.all += await guests(house.line, 6)
        await house.settle()
        for step, number in steps:
            await house.take(step, number)
        await house.settle()
        while house.inside:
            await house.take("leave", 0)
            await house.settle()
        assert (house.line.free, house.line.waiting, house.line._memory) == (
            house.bounds.places,
            0,
            0,
        )

    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        runner.run(story())
