"""Room for large deliveries: shared, bounded for each owner, and never a stranger's to keep."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.repositories.deliveries.reading import Room, neighbourhood
from app.web.body import MAX_DELIVERY_BYTES


async def test_room_is_handed_on_to_whoever_waits_and_no_more_than_some_wait() -> None:
    room, order = Room(10), list[str]()

    async def one(name: str, size: int) -> None:
        async with room.hold(size, name, 5.0) as claim:
            order.append(f"{name} {claim.has_room}")
            await asyncio.sleep(0)

    async with room.hold(10, "first") as claim:
        assert claim.has_room
        waiting = [asyncio.create_task(one(str(number), 5)) for number in range(8)]
        await asyncio.sleep(0)
        await one("too many", 5)
        gone = waiting.pop()
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
    await asyncio.gather(*waiting)
    assert order[0] == "too many False"
    assert sorted(order[1:]) == [f"{number} True" for number in range(7)]
    assert room.free == 10


async def test_one_owner_has_half_of_the_room_and_another_finds_some() -> None:
    room = Room(20)
    async with (
        room.hold(6, "one") as first,
        room.hold(4, "one") as second,
        room.hold(1, "one", 0.01) as third,
    ):
        assert (first.has_room, second.has_room, third.has_room) == (True, True, False)
        async with room.hold(10, "another") as theirs:
            assert theirs.has_room
    async with room.hold(15, "one") as alone:
        assert alone.has_room
    assert (room.free, room._claims) == (20, {})


async def test_the_unverified_of_one_owner_share_the_room_of_one_delivery() -> None:
    room, most = Room(4 * MAX_DELIVERY_BYTES), MAX_DELIVERY_BYTES
    await known(room, "one", "host")

    def hold(size: int, *, is_verified: bool = False) -> Any:
        return room.hold(size, "one", 0.01, source="host", is_verified=is_verified)

    async with hold(most) as first:
        async with hold(2) as second, hold(2, is_verified=True) as third:
            assert (first.has_room, second.has_room, third.has_room) == (True, False, True)
        await room.verified(second)
        await room.verified(first)
        async with hold(most) as next_one:
            assert next_one.has_room
    assert (room.free, room._claims) == (4 * most, {})


async def known(room: Room, owner: str, source: str) -> None:
    """Something genuine has come to an owner from there."""
    async with room.hold(1, owner, source=source, is_verified=False) as claim:
        await room.verified(claim)


@pytest.mark.parametrize("owners", [1, 2, 3])
async def test_strangers_give_their_room_up_to_a_known_host(owners: int) -> None:
    """They hold and wait for all that they can get, at the host's own connection, too."""
    most, room = MAX_DELIVERY_BYTES, Room(64 * 1024 * 1024)
    await known(room, "owner 0", "host")
    async with AsyncExitStack() as stack:
        held = [
            await stack.enter_async_context(
                room.hold(most, f"owner {n % owners}", 0, source=f"stranger {n}", is_verified=False)
            )
            for n in range(12)
        ]
        assert [claim.has_room for claim in held].count(True) == 2
        for claim in held[:2]:
            claim.parts.append(b"x")
        async with room.hold(most, "owner 0", 0, source="host", is_verified=False) as host:
            assert host.has_room
            assert [claim.has_room for claim in held[:2]] == [True, False]
            assert (held[1].is_given_up, held[1].parts) == (True, [])
            await room.verified(host)
            async with room.hold(most, "owner 9", 0) as another:
                assert another.has_room
            assert [claim.has_room for claim in held[:2]] == [False, False]
    assert (room.free, room._claims) == (64 * 1024 * 1024, {})


async def test_a_stranger_who_wants_much_gives_way_to_one_from_elsewhere() -> None:
    """Who is genuine and not known yet is a stranger, too."""
    most, room = MAX_DELIVERY_BYTES, Room(64 * 1024 * 1024)

    def hold(owner: str, source: str) -> Any:
        return room.hold(most, owner, 0, source=source, is_verified=False)

    async with hold("a", "many") as one, hold("b", "many") as two, hold("c", "many") as three:
        assert [claim.has_room for claim in (one, two, three)] == [True, True, False]
        async with hold("a", "new") as new:
            assert new.has_room
            async with hold("c", "many") as again:
                assert not again.has_room
        assert [claim.has_room for claim in (one, two)] == [True, False]


async def test_strangers_who_wait_leave_a_place_to_wait_for_others() -> None:
    most, room = MAX_DELIVERY_BYTES, Room(MAX_DELIVERY_BYTES)
    async with room.hold(most, "genuine") as first:

        async def stranger(number: int) -> bool:
            source = f"stranger {number}"
            async with room.hold(most, "a", 30, source=source, is_verified=False) as claim:
                return claim.has_room

        waiting = [asyncio.create_task(stranger(number)) for number in range(20)]
        host = asyncio.create_task(holds(room, most, "b"))
        await asyncio.sleep(0)
        assert (first.has_room, room._waiting) == (True, {True: 4, False: 1})
    assert await host
    assert sorted(await asyncio.gather(*waiting)) == [False] * 16 + [True] * 4


async def holds(room: Room, size: int, owner: str) -> bool:
    async with room.hold(size, owner, 30) as claim:
        return claim.has_room


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("140.82.115.7", "140.82.112.0/20"),
        ("::ffff:140.82.115.7", "140.82.112.0/20"),
        ("2a0a:a440:1::5", "2a0a:a440::/32"),
        ("made up", None),
        (None, None),
    ],
)
def test_hosts_send_from_a_neighbourhood(address: str | None, expected: str | None) -> None:
    assert neighbourhood(address) == expected
