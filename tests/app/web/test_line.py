"""The line: its order, its bounds, and that no place is ever lost, whoever goes away when."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect

from app.errors import Unavailable
from app.web.admission.line import Line
from tests.factories.lines import ROOMY, Guest, bounds, guests, settle


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
