"""Writers that race: one of them wins each version, and nobody's write is lost."""

import asyncio
from collections import Counter

import pytest

from app.app_data import values
from app.app_data.place import Place
from app.errors import VersionMismatch
from models.app_data import AppData
from models.precondition import Expected
from models.user import User
from tests.cast import Cast
from tests.factories.app_data import K
from tests.harness import version_of

WRITERS, VERSIONS, AT_ONCE = 200, 1000, 8


async def test_each_of_a_thousand_versions_has_exactly_one_winner_among_200_writers(
    cast: Cast,
) -> None:
    """A turn is a read and a compare-and-set; a few turns at a time, or nearly all writes would
    only be refused."""
    turns, won, refused = asyncio.Semaphore(AT_ONCE), dict[int, int](), Counter[int]()

    async def turn(writer: int) -> bool:
        found = await cast.owner.get(K)
        version = version_of(found) if "etag" in found.headers else 0
        if version >= VERSIONS:
            return False
        condition = {"If-Match": f'"{version}"'} if version else {"If-None-Match": "*"}
        answer = await cast.owner.put(
            K, json={"writer": writer, "on": found.json().get("writer")}, headers=condition
        )
        if answer.status_code == 412:
            assert answer.json()["current"]["version"] > version
            refused[writer] += 1
            return True
        assert answer.status_code == (200 if version else 201)
        assert answer.json()["version"] == version + 1
        assert version + 1 not in won
        won[version + 1] = writer
        return True

    async def write(writer: int) -> None:
        going = True
        while going:
            async with turns:
                going = await turn(writer)

    await asyncio.gather(*map(write, range(WRITERS)))
    assert sorted(won) == list(range(1, VERSIONS + 1))
    assert len(set(won.values())) > 1
    assert refused.total() > 0
    assert (await cast.owner.get(K)).json() == {"writer": won[VERSIONS], "on": won[VERSIONS - 1]}


async def test_all_200_writers_on_one_version_have_one_winner(cast: Cast) -> None:
    await cast.owner.put(K, json="begin")
    condition = {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(cast.owner.put(K, json=n, headers=condition) for n in range(WRITERS))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: WRITERS - 1}
    winner = next(n for n, answer in enumerate(answers) if answer.status_code == 200)
    assert (await cast.owner.get(K)).json() == winner
    assert all(
        answer.json()["current"]["value"] == winner
        for answer in answers
        if answer.status_code == 412
    )


async def test_racing_creators_make_one_value(cast: Cast) -> None:
    only = {"If-None-Match": "*"}
    answers = await asyncio.gather(*(cast.owner.put(K, json=n, headers=only) for n in range(100)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 412: 99}
    winner = next(n for n, answer in enumerate(answers) if answer.status_code == 201)
    assert (await cast.owner.get(K)).json() == winner
    assert await AppData.raw().count_documents({}) == 1


async def test_racing_blind_writers_are_all_counted(cast: Cast) -> None:
    answers = await asyncio.gather(*(cast.owner.put(K, json=n) for n in range(100)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 99}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 101))
    last = next(n for n, answer in enumerate(answers) if answer.json()["version"] == 100)
    assert (await cast.owner.get(K)).json() == last
    assert await AppData.raw().count_documents({}) == 1


async def test_racing_recreators_of_a_tombstone_make_one_value(cast: Cast) -> None:
    await cast.owner.put(K, json=0)
    await cast.owner.delete(K)
    only = {"If-None-Match": "*"}
    answers = await asyncio.gather(*(cast.owner.put(K, json=n, headers=only) for n in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 412: 49}
    assert version_of(await cast.owner.get(K)) == 3


async def test_racing_deleters_have_one_winner(cast: Cast) -> None:
    await cast.owner.put(K, json=0)
    answers = await asyncio.gather(*(cast.owner.delete(K) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {204: 1, 404: 49}
    assert (await cast.owner.put(K, json=1)).json()["version"] == 3


async def test_a_delete_without_a_condition_that_found_nothing_is_404_though_it_was_put_meanwhile(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = values.too_late

    async def after_a_put(place: Place, expected: Expected | None) -> VersionMismatch:
        await cast.owner.put(K, json=1)
        return await look(place, expected)

    monkeypatch.setattr(values, "too_late", after_a_put)
    assert (await cast.owner.delete(K)).status_code == 404
    assert (await cast.owner.delete(K, headers={"If-Match": '"7"'})).status_code == 412


async def test_racing_creators_with_an_activity_record_one_for_each_write(cast: Cast) -> None:
    params = {"activity": "wrote"}
    answers = await asyncio.gather(*(cast.owner.put(K, json=n, params=params) for n in range(20)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 19}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 21))
    assert len((await cast.owner.get("/v1/users/me/activity")).json()["items"]) == 20


async def test_racing_users_of_one_email_are_one_user(cast: Cast) -> None:
    spellings = [" Ann@Example.com", "ann@example.com", "ANN@EXAMPLE.COM "]
    bodies = [{"email": spellings[n % 3]} for n in range(100)]
    answers = await asyncio.gather(*(cast.admin.post("/v1/users", json=body) for body in bodies))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 99}
    assert {
        answer.json()["errors"][0]["pointer"] for answer in answers if answer.status_code == 409
    } == {"/email"}
    assert await User.raw().count_documents({"email": "ann@example.com"}) == 1
