"""Lookups that requests share: one query at a time, and no answer that is older than its
question."""

import asyncio
from collections.abc import Collection

import pytest

from app.analytics.ingest.lookups import SharedLookups


class Store:
    """What can be looked up, and the queries that came."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.queries: list[set[str]] = []
        self.gate = asyncio.Event()

    async def find(self, keys: Collection[str]) -> set[str]:
        self.queries.append(set(keys))
        found = self.there & set(keys)
        await self.gate.wait()
        return found


async def test_who_asks_while_a_query_is_under_way_shares_the_next() -> None:
    store = Store()
    store.there = {"a", "c"}
    shared = SharedLookups(store.find)
    first = asyncio.ensure_future(shared.find(["a", "b"]))
    while not store.queries:
        await asyncio.sleep(0)
    others = [asyncio.ensure_future(shared.find([each])) for each in ("c", "d", "c")]
    await asyncio.sleep(0)
    assert store.queries == [{"a", "b"}]
    store.gate.set()
    assert await asyncio.gather(first, *others) == [{"a"}, {"c"}, set(), {"c"}]
    assert store.queries == [{"a", "b"}, {"c", "d"}]


async def test_no_answer_is_older_than_its_question() -> None:
    """What is stored while a query is under way is found by whoever asks then."""
    store = Store()
    shared = SharedLookups(store.find)
    early = asyncio.ensure_future(shared.find(["a"]))
    while not store.queries:
        await asyncio.sleep(0)
    store.there.add("a")
    late = asyncio.ensure_future(shared.find(["a"]))
    await asyncio.sleep(0)
    store.gate.set()
    assert (await early, await late) == (set(), {"a"})


async def test_many_keys_have_a_query_of_their_own() -> None:
    store = Store()
    store.gate.set()
    shared = SharedLookups(store.find)
    keys = [str(number) for number in range(500)]
    await asyncio.gather(shared.find(keys), shared.find(["x"]))
    assert sorted(map(len, store.queries)) == [1, 500]


async def test_a_query_that_fails_fails_those_who_asked_and_nobody_after() -> None:
    calls = []

    async def find(keys: Collection[str]) -> set[str]:
        calls.append(keys)
        if len(calls) == 1:
            raise OSError
        return set(keys)

    shared = SharedLookups(find)
    answers = await asyncio.gather(shared.find(["a"]), shared.find(["b"]), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError]
    assert await shared.find(["a"]) == {"a"}


async def test_one_who_stops_waiting_stops_nobody_else() -> None:
    store = Store()
    store.there = {"a"}
    shared = SharedLookups(store.find)
    first, second = (asyncio.ensure_future(shared.find(["a"])) for _ in range(2))
    while not store.queries:
        await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    store.gate.set()
    assert await second == {"a"}
