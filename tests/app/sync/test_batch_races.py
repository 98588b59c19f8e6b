"""Batches that race over the same keys, in line within a process, and without one between
processes."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from app.database.turns import Patience, turns
from app.sync import batch as batches
from models.app_data import AppData
from tests.cast import Cast
from tests.factories.batches import APP, DATA, batch, delete, put, said, step

KEYS = [f"k{number}" for number in range(4)]


PROCESSES = count()


@asynccontextmanager
async def one_of_three_lines(subjects: Collection[Any]) -> AsyncIterator[Patience]:
    """The line of one of three processes, that know nothing of each other."""
    process = next(PROCESSES) % 3
    async with turns([(process, subject) for subject in subjects]) as patience:
        yield patience


@pytest.fixture(params=["one process", "three processes"])
def company(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the writers are who race."""
    if request.param != "one process":
        monkeypatch.setattr(batches, "turns", one_of_three_lines)
    return str(request.param)


@pytest.mark.usefixtures("company")
async def test_each_acknowledged_version_is_unique_and_no_count_is_lost(cast: Cast) -> None:
    chance = random.Random(1)
    await batch(cast.owner, *(put(key, {"n": 0}) for key in KEYS))
    seen: Counter[tuple[str, int]] = Counter((key, 1) for key in KEYS)
    counted: Counter[str] = Counter()

    async def write(number: int) -> None:
        for turn in range(5):
            keys = chance.sample(KEYS, 3)
            atomic, marked = chance.random() < 0.4, chance.random() < 0.5
            marks = [{"mutationId": f"{number}.{turn}.{key}"} if marked else {} for key in keys]
            writes = [step(key, **mark) for key, mark in zip(keys, marks, strict=True)]
            for result in await batch(cast.owner, *writes, atomic=atomic):
                assert result["status"] == "stored"
                seen[result["dataKey"], result["version"]] += 1
                counted[result["dataKey"]] += 1

    await asyncio.gather(*map(write, range(12)))
    assert set(seen.values()) == {1}
    found = {row["dataKey"]: row for row in (await cast.owner.get(DATA)).json()["items"]}
    assert {key: (row["value"]["n"], row["version"]) for key, row in found.items()} == {
        key: (counted[key], counted[key] + 1) for key in KEYS
    }
    assert sum(counted.values()) == 12 * 5 * 3


@pytest.mark.usefixtures("company")
async def test_unconditional_puts_and_deletes_are_all_stored_under_versions_of_their_own(
    cast: Cast,
) -> None:
    async def write(number: int) -> list[dict[str, Any]]:
        writes = [
            put(key, number) if number % 3 else delete(key, mutationId=f"d{number}") for key in KEYS
        ]
        return await batch(cast.owner, *writes, atomic=number % 4 == 0)

    results = [result for each in await asyncio.gather(*map(write, range(16))) for result in each]
    assert {result["status"] for result in results} == {"stored"}
    versions = Counter((result["dataKey"], result["version"]) for result in results)
    assert versions == Counter((key, version) for key in KEYS for version in range(1, 17))
    last = {result["dataKey"]: result for result in results if result["version"] == 16}
    async for row in AppData.raw().find():
        assert (row["version"], row["deleted"]) == (16, last[row["dataKey"]].get("deleted", False))


@pytest.mark.usefixtures("company")
async def test_of_racing_creators_of_a_key_one_wins_and_the_others_see_what_is_there(
    cast: Cast,
) -> None:
    async def create(number: int) -> list[dict[str, Any]]:
        return await batch(cast.owner, *(put(key, number, ifVersion=0) for key in KEYS))

    rounds = await asyncio.gather(*map(create, range(12)))
    for place, _ in enumerate(KEYS):
        results = [each[place] for each in rounds]
        assert sorted(result["status"] for result in results) == ["conflict"] * 11 + ["stored"]
        winner = next(
            number for number, result in enumerate(results) if result["status"] == "stored"
        )
        assert {result["current"]["value"] for result in results if "current" in result} == {winner}


@pytest.mark.usefixtures("company")
async def test_racing_repeats_of_one_mutation_happen_once(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/k0", json={"n": 0})
    writes = [
        step("k0", mutationId="m0"),
        put("k1", 1, mutationId="m1"),
        delete("k2", mutationId="m2"),
    ]
    rounds = await asyncio.gather(
        *(batch(cast.owner, *writes, atomic=n % 2 == 0) for n in range(10))
    )
    assert {tuple(map(said, results)) for results in rounds} == {
        (("stored", 2), ("stored", 1), ("stored", 1))
    }
    assert (await cast.owner.get(f"{DATA}/k0")).json() == {"n": 1}


async def test_readers_see_an_atomic_batch_whole_or_not_at_all(cast: Cast) -> None:
    await batch(cast.owner, put("a", {"n": 0}), put("b", {"n": 0}), atomic=True)
    done = asyncio.Event()
    sums: list[int] = []

    async def move(number: int) -> None:
        for _ in range(6):
            await batch(cast.owner, step("a", number), step("b", -number), atomic=True)

    async def look() -> None:
        while not done.is_set():
            rows = (await cast.owner.get(DATA)).json()["items"]
            sums.append(sum(row["value"]["n"] for row in rows))

    looking = asyncio.create_task(look())
    await asyncio.gather(*map(move, range(1, 7)))
    done.set()
    await looking
    assert len(sums) > 5
    assert set(sums) == {0}


async def test_150_batches_of_one_key_at_once_are_150_times_stored(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/k0", json=[])
    append = {"dataKey": "k0", "jsonPatch": [{"op": "add", "path": "/-", "value": 1}]}
    answers = await asyncio.gather(
        *(cast.owner.post(f"{APP}/batch", json={"writes": [append]}) for _ in range(150))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 150}
    assert sorted(answer.json()["results"][0]["version"] for answer in answers) == list(
        range(2, 152)
    )
    assert (await cast.owner.get(f"{DATA}/k0")).json() == [1] * 150


async def test_single_writes_among_batches_lose_nothing(cast: Cast) -> None:
    await cast.owner.put(f"{DATA}/k0", json={"n": 0})
    one = [{"op": "increment", "path": "/n", "value": 1}]
    singles = [cast.owner.patch(f"{DATA}/k0", one) for _ in range(30)]
    batched = [batch(cast.owner, step("k0"), put("k1"), atomic=n % 3 == 0) for n in range(30)]
    answers = await asyncio.gather(*singles, *batched)
    assert {answer.status_code for answer in answers[:30]} == {200}
    assert (await cast.owner.get(f"{DATA}/k0")).json() == {"n": 60}
