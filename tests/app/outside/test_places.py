"""Places and turns: who hangs, or has failed lately, leaves places to the others."""

import asyncio
from collections.abc import Iterator

import pytest

from app.outside import places
from app.outside.places import LeftOut, Places, Taken, Turns, work_off


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The steady clock of the places, in its one element."""
    moment = [1000.0]
    monkeypatch.setattr(places.time, "monotonic", lambda: moment[0])
    yield moment


def test_slow_work_gives_its_place_to_others_while_there_is_room_to_wait_in(
    clock: list[float],
) -> None:
    found = Places(2)
    taken = 0
    while found.is_free():
        found.take(taken)
        taken += 1
    assert taken == 2
    for _ in range(9):
        clock[0] += 1
        while found.is_free():
            found.take(taken)
            taken += 1
    assert taken == 2 + 8, "eight wait, and the quick places are kept from then on"


def test_whoever_failed_has_a_quarter_of_the_places(clock: list[float]) -> None:
    found = Places(8)
    for _ in range(2):
        assert found.is_free_for_failed()
        found.take(has_failed=True)
    assert (found.is_free_for_failed(), found.is_free()) == (False, True)
    clock[0] += 1
    assert found.is_free_for_failed(), "they are slow now, and wait elsewhere"


def test_a_tenant_has_few_places_until_it_does_well_and_one_once_it_fails(
    clock: list[float],
) -> None:
    turns = Turns(16)

    def places_of(tenant: str) -> int:
        taken = []
        while tenant not in turns.busy():
            taken.append(turns.begin(tenant))
        for place in taken:
            turns.leave(place)
        return len(taken)

    assert places_of("new") == 2
    turns.went_well("good")
    assert places_of("good") == 8
    turns.failed("good", 0.1)
    assert places_of("good") == 1
    turns.went_well("good")
    assert places_of("good") == 8


def test_whoever_hangs_pauses_longer_each_time(clock: list[float]) -> None:
    turns = Turns(16)
    for pause in (10, 20, 40, 60, 60):
        turns.failed("dead", 10.0)
        assert turns.pause_seconds() == pause
        clock[0] += pause - 0.5
        assert turns.busy() == {"dead"}
        clock[0] += 1
        assert (turns.busy(), turns.pause_seconds()) == (set(), None)


def test_a_failure_that_took_no_time_is_followed_by_no_pause(clock: list[float]) -> None:
    turns = Turns(16)
    turns.failed("broken", 0.2)
    assert (turns.busy(), turns.pause_seconds()) == (set(), None)


async def _nothing(_: int) -> None:
    return


async def test_work_that_hangs_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "QUICK_SECONDS", 0.05)
    monkeypatch.setattr(places, "_LOOK_SECONDS", 0.05)
    hang, waiting = asyncio.Event(), list(range(9))

    async def work(number: int) -> None:
        if number < 8:
            await hang.wait()
        else:
            hang.set()  # none of the others ends before this one is done

    async def take(_: LeftOut) -> Taken | None:
        return (
            Taken(work(number), None, False)
            if (number := waiting.pop(0) if waiting else None) is not None
            else None
        )

    async with asyncio.timeout(30):
        assert await work_off(2, take, _nothing) == 9


async def test_one_tenants_work_leaves_room_for_anothers() -> None:
    hang, of_one, seen = asyncio.Event(), 20, list[LeftOut]()

    async def work(tenant: str) -> None:
        if tenant == "b":
            hang.set()
        await hang.wait()

    async def take(left_out: LeftOut) -> Taken | None:
        nonlocal of_one
        seen.append(left_out)
        tenant = "b" if "a" in left_out.tenants else "a"
        of_one -= 1
        return Taken(work(tenant), tenant, False) if of_one >= 0 else None

    async with asyncio.timeout(30):
        await work_off(2, take, _nothing)
    assert seen[0] == LeftOut(failed=False, tenants=frozenset())


async def test_what_one_raises_ends_the_others() -> None:
    ended = list[str]()

    async def fails() -> None:
        raise LookupError

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("hangs")

    works = [hangs(), fails()]

    async def take(_: LeftOut) -> Taken | None:
        return Taken(works.pop(0), None, False) if works else None

    with pytest.raises(LookupError):
        await work_off(4, take, _nothing)
    assert ended == ["hangs"]
