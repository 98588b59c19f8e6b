"""The line: its order, its bounds, and that no place is ever lost, whoever goes away when."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from app.errors import Unavailable
from app.web.admission.line import RETRY_AFTER, Bounds, Line, refusal

ROOMY = Bounds(places=2, waiting=100, memory=1000, seconds=3600)


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time passes when it is told to."""

    now = 0.0

    def time(self) -> float:
        return self.now


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


def bounds(**changes: float) -> Bounds:
    return Bounds(**{**{name: getattr(ROOMY, name) for name in Bounds.__slots__}, **changes})  # type: ignore[arg-type]


@dataclass
class Guest:
    """One request, and how it goes: `outcome` is what ended its wait."""

    line: Line
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: object = None
    task: "asyncio.Task[None] | None" = None

    def come(self, size: int = 1) -> "Guest":
        return self._start(lambda: self.line.enter(size, self.gone.wait))

    def come_again(self) -> "Guest":
        return self._start(self.line.enter_again)

    def _start(self, enter: Callable[[], Awaitable[None]]) -> "Guest":
        self.outcome = None
        self.task = asyncio.create_task(self._enter(enter))
        self.task.add_done_callback(self._note)
        return self

    async def _enter(self, enter: Callable[[], Awaitable[None]]) -> None:
        await enter()
        self.outcome = "in"

    def _note(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self.outcome = asyncio.CancelledError()
        elif task.exception() is not None:
            self.outcome = task.exception()

    @property
    def is_in(self) -> bool:
        return self.outcome == "in"


async def guests(line: Line, count: int) -> list[Guest]:
    """So many, who have come one after the other."""
    found = []
    for _ in range(count):
        found.append(Guest(line).come())
        await settle()
    return found


def test_the_first_in_line_is_the_first_to_get_a_place() -> None:
    async def story() -> None:
        line = Line(ROOMY)
        all_of_them = await guests(line, 6)
        assert [guest.is_in for guest in all_of_them] == [True, True, False, False, False, False]
        for number in range(2, 6):
            line.leave()
            await settle()
            assert [guest.is_in for guest in all_of_them] == [True] * (number + 1) + [False] * (
                5 - number
            )
        line.leave()
        line.leave()
        assert (line.free, line.waiting) == (2, 0)

    asyncio.run(story())


def test_whoever_comes_back_goes_before_newcomers() -> None:
    async def story() -> None:
        line = Line(ROOMY)
        first, second, newcomer = await guests(line, 3)
        line.leave()  # the first waits for its body, and the newcomer has its place
        await settle()
        late = Guest(line).come()
        first.come_again()
        await settle()
        assert (newcomer.is_in, first.is_in, late.is_in, second.is_in) == (True, False, False, True)
        line.leave()
        await settle()
        assert (first.is_in, late.is_in) == (True, False)
        line.leave()
        await settle()
        assert late.is_in

    asyncio.run(story())


@pytest.mark.parametrize("leaves", ["cancelled", "disconnected"])
def test_whoever_goes_away_has_left_the_line(leaves: str) -> None:
    async def story() -> None:
        line = Line(bounds(places=1, waiting=2))
        _, away, waits = await guests(line, 3)
        assert isinstance((await guests(line, 1))[0].outcome, Unavailable)
        assert away.task is not None
        away.task.cancel() if leaves == "cancelled" else away.gone.set()
        await settle()
        assert isinstance(
            away.outcome, asyncio.CancelledError if leaves == "cancelled" else ClientDisconnect
        )
        assert line.waiting == 1
        (last,) = await guests(line, 1)  # there is room again
        line.leave()
        await settle()
        assert (waits.is_in, last.is_in) == (True, False)
        line.leave()
        await settle()
        assert last.is_in

    asyncio.run(story())


@pytest.mark.parametrize("leaves", ["cancelled", "disconnected"])
def test_a_place_that_comes_with_the_going_is_handed_on(leaves: str) -> None:
    async def story() -> None:
        line = Line(bounds(places=1))
        _, away, waits = await guests(line, 3)
        assert away.task is not None
        line.leave()  # the place is theirs before they know of it
        away.task.cancel() if leaves == "cancelled" else away.gone.set()
        await settle()
        if away.is_in:  # and will see by itself that nobody listens
            line.leave()
            await settle()
        assert waits.is_in
        line.leave()
        assert (line.free, line.waiting) == (1, 0)

    asyncio.run(story())


def test_the_line_has_room_for_so_many() -> None:
    async def story() -> None:
        line = Line(bounds(waiting=3))
        found = await guests(line, 6)
        assert [guest.outcome for guest in found[:5]] == ["in", "in", None, None, None]
        assert isinstance(found[5].outcome, Unavailable)

    asyncio.run(story())


def test_the_line_has_room_for_so_much() -> None:
    async def story() -> None:
        line = Line(bounds(places=1, memory=10))
        _, large = Guest(line).come(), Guest(line).come(9)
        await settle()
        too_large, small = Guest(line).come(2), Guest(line).come(1)
        await settle()
        assert isinstance(too_large.outcome, Unavailable)
        assert small.outcome is None
        line.leave()
        await settle()
        assert large.is_in
        fits = Guest(line).come(9)
        await settle()
        assert fits.outcome is None

    asyncio.run(story())


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
