"""Lookups that wait in the same turn are one query, and each still gets its own answer."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pymongo
import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from app.database.loader import Loader
from app.errors import Unavailable
from models import AppData, User
from models.app_data_values import load_values
from models.user import UserContent
from tests.conftest import MakeApi

LONG = 60


class Rows:
    """What a loader asks: every query is noted, and answered when the test lets it."""

    def __init__(self, *, held: bool = False) -> None:
        self.queries: list[list[str]] = []
        self.timeouts: list[float] = []
        self.fail: dict[str, Exception] = {}
        self._open = asyncio.Event()
        if not held:
            self._open.set()

    def let_go(self) -> None:
        self._open.set()

    async def find(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.queries.append(list(keys))
        self.timeouts.append(pymongo._csot.get_timeout() or 0)
        await self._open.wait()
        for key in keys:
            if key in self.fail:
                raise self.fail[key]
        return {key: f"value of {key}" for key in keys if not key.startswith("no")}


async def test_those_of_one_turn_are_one_query_and_each_gets_its_own() -> None:
    rows = Rows()
    loader = Loader(rows.find, LONG)
    asked = ["a", "b", "a", "nothing", "c"]
    found = await asyncio.gather(*map(loader.get, asked))
    assert found == ["value of a", "value of b", "value of a", None, "value of c"]
    assert sorted(map(sorted, rows.queries)) in (
        [["a", "b", "c", "nothing"]],
        [["a", "b", "c", "nothing"], []],
    )


async def test_one_alone_waits_for_nobody() -> None:
    rows = Rows()
    loader = Loader(rows.find, LONG)
    assert [await loader.get("a"), await loader.get("a")] == ["value of a"] * 2
    assert rows.queries == [["a"], ["a"]]


async def test_two_queries_are_under_way_at_most_and_the_others_go_together() -> None:
    rows = Rows(held=True)
    loader = Loader(rows.find, LONG, most=3)
    tasks = []
    for key in "abcdefg":
        tasks.append(asyncio.create_task(loader.get(key)))
        for _ in range(3):
            await asyncio.sleep(0)
    assert rows.queries == [["a"], ["b"]]
    rows.let_go()
    assert await asyncio.gather(*tasks) == [f"value of {key}" for key in "abcdefg"]
    assert sorted(map(len, rows.queries)) == [1, 1, 2, 3]


async def test_keys_of_a_query_weigh_no_more_than_they_may_unless_one_does_alone() -> None:
    rows = Rows()
    loader = Loader(rows.find, LONG, queries=1, weigh=(len, 4))
    asked = ["a", "bb", "c", "dddddd", "e", "ff"]
    assert await asyncio.gather(*map(loader.get, asked)) == [f"value of {key}" for key in asked]
    assert rows.queries == [["a", "bb", "c"], ["dddddd"], ["e", "ff"]]


async def test_a_query_that_is_under_way_serves_nobody_who_comes_later() -> None:
    rows = Rows(held=True)
    loader = Loader(rows.find, LONG, queries=1)
    first = asyncio.create_task(loader.get("a"))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(loader.get("a"))
    await asyncio.sleep(0.01)
    rows.let_go()
    await asyncio.gather(first, second)
    assert rows.queries == [["a"], ["a"]]


async def test_one_that_fails_fails_alone() -> None:
    rows = Rows()
    rows.fail["b"] = OperationFailure("this one")
    loader = Loader(rows.find, LONG)
    found = await asyncio.gather(*map(loader.get, "abc"), return_exceptions=True)
    assert [found[0], found[2]] == ["value of a", "value of c"]
    assert found[1] is rows.fail["b"]


async def test_a_database_that_is_away_is_not_asked_again_for_each() -> None:
    rows = Rows()
    rows.fail["b"] = AutoReconnect("away")
    loader = Loader(rows.find, LONG)
    found = await asyncio.gather(*map(loader.get, "abc"), return_exceptions=True)
    assert found == [rows.fail["b"]] * 3
    assert len(rows.queries) == 1


async def test_who_waits_too_long_is_told_so_and_not_asked_for() -> None:
    rows = Rows(held=True)
    loader = Loader(rows.find, 0.05, queries=1)
    tasks = [asyncio.create_task(loader.get("a"))]
    await asyncio.sleep(0.01)
    tasks.append(asyncio.create_task(loader.get("late")))
    await asyncio.sleep(0.1)
    rows.let_go()
    with pytest.raises(Unavailable):
        await tasks[1]
    assert rows.queries == [["a"]]
    assert all(0 < timeout <= 0.05 for timeout in rows.timeouts)


async def test_who_has_gone_is_not_asked_for_and_harms_nobody() -> None:
    rows = Rows(held=True)
    loader = Loader(rows.find, LONG, queries=1)
    tasks = [asyncio.create_task(loader.get("a"))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(loader.get(key)) for key in ("gone", "gone too", "c", "gone")]
    await asyncio.sleep(0.01)
    for gone in (tasks[0], tasks[1], tasks[4]):
        gone.cancel()
    rows.let_go()
    assert [await tasks[2], await tasks[3]] == ["value of gone too", "value of c"]
    assert rows.queries == [["a"], ["gone too", "c"]]


async def test_the_first_ones_timeout_is_not_the_others() -> None:
    rows = Rows()
    loader = Loader(rows.find, LONG)

    async def hurried() -> str | None:
        with pymongo.timeout(0.001):
            return await loader.get("a")

    await asyncio.gather(hurried(), loader.get("b"))
    assert min(rows.timeouts) > 1


async def test_many_people_at_once_get_each_their_own(make_api: MakeApi) -> None:
    api = await make_api()
    people = [await User.create_user(UserContent(name=f"p{n}")) for n in range(20)]
    for number, person in enumerate(people):
        await api.token(person.id).put("/v1/users/me/apps/notes/data/k", json={"n": number})
    gone = people[7]
    await api.token(gone.id).delete("/v1/users/me/apps/notes/data/k")
    sent = []
    values: Any = api.app.state.values
    find = values._find

    async def noted(keys: Sequence[Any]) -> Any:
        sent.append(len(keys))
        return await find(keys)

    values._find = noted
    answers = await asyncio.gather(
        *(api.token(person.id).get("/v1/users/me/apps/notes/data/k") for person in people)
    )
    assert [answer.status_code for answer in answers] == [200] * 7 + [404] + [200] * 12
    told = [answer.json()["n"] for answer in answers if answer.status_code == 200]
    assert told == [number for number in range(20) if number != 7]
    assert max(sent) > 1


async def test_what_a_row_of_many_is_like(make_api: MakeApi) -> None:
    api = await make_api()
    person = (await User.create_user(UserContent(name="p"))).id
    assert person is not None
    caller = api.token(person)
    for key, value in {"plain": 1, "dollar": {"$a": {"b.c": 1}}, "ends": 2}.items():
        await caller.put(f"/v1/users/me/apps/notes/data/{key}", json=value)
    await AppData.raw().update_one({"dataKey": "ends"}, [{"$set": {"expiresAt": "$createdAt"}}])
    places = [(person, "notes", key) for key in ("plain", "dollar", "ends", "none")]
    together = await load_values(places)
    alone = [await load_values([place]) for place in places]
    assert {key for one in alone for key in one} == together.keys() == set(places[:2])
    for place in places[:2]:
        one = next(found[place] for found in alone if place in found)
        assert {name: together[place][name] for name in one} == one
