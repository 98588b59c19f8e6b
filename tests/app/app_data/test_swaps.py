"""Writes that go to the database as one command: each is answered as if it had gone alone."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, NetworkTimeout, PyMongoError

from app.app_data.swaps import LARGEST, Put, Swaps
from app.errors import NotFound
from app.relations.leases import Leases
from app.web.etags import tag_of
from models import AppData, User
from models.app_data_swap import read_versions
from models.app_data_updates import Expiry
from models.app_data_written import StaleVersion, Written
from models.base import now
from models.precondition import Expected
from models.user import UserContent
from tests.cast import Cast
from tests.conftest import MakeApi

SECONDS = 30
NOBODY = ObjectId()


class Company:
    """Swaps with one write under way, so that all others go together."""

    def __init__(self, user_id: ObjectId, swaps: Swaps) -> None:
        self.user_id, self.swaps = user_id, swaps
        self.alone: list[str] = []

    def put_of(self, key: str, value: Any, expected: Expected | None, **other: Any) -> Put:
        place = (other.get("user", self.user_id), "notes", key)
        size, ends = other.get("size", 1), other.get("expires_at")
        return Put(place, expected, value, size, "test", ends, None)

    async def put(
        self, key: str, value: Any, expected: Expected | None = None, **other: Any
    ) -> Written | Exception:
        put = self.put_of(key, value, expected, **other)

        async def alone() -> Written:
            self.alone.append(key)
            return await AppData.put(*put.place, value, size=1, by="test", expected=expected)

        try:
            return await self.swaps.put(put, alone)
        except Exception as error:
            return error

    async def value(self, key: str) -> Any:
        row = await AppData.find_by_user_app_and_key(self.user_id, "notes", key)
        return None if row is None else (row["version"], row["value"])

    async def store(self, **values: Any) -> None:
        for key, value in values.items():
            await AppData.put(self.user_id, "notes", key, value, size=1, by="test")


@pytest.fixture
async def company(make_api: MakeApi) -> AsyncIterator[Company]:
    await make_api()
    user = await User.create_user(UserContent(name="Ann"))
    assert user.id is not None
    company = Company(user.id, Swaps(Leases(5), SECONDS))
    ended = asyncio.Event()

    async def first() -> Written:
        await ended.wait()
        raise StaleVersion

    put = company.put_of("first", 0, None)
    under_way = asyncio.create_task(company.swaps.put(put, first))
    await asyncio.sleep(0)
    yield company
    ended.set()
    await asyncio.wait([under_way])
    assert isinstance(under_way.exception(), StaleVersion)


def is_stale(outcome: Any) -> bool:
    return isinstance(outcome, StaleVersion)


async def test_each_is_answered_by_its_own_row(company: Company) -> None:
    await company.store(a=1, b=1, c=1, d=1, gone=1)
    await AppData.delete(company.user_id, "notes", "gone", by="test")
    first = await AppData.find_envelope(company.user_id, "notes", "a", with_id=True)
    assert first is not None
    tagged = Expected((), tags=((1, tag_of(first["_id"])),))
    outcomes = await asyncio.gather(
        company.put("a", 2, tagged),
        company.put("b", 2, Expected((7,))),
        company.put("c", 2, Expected((1, 4))),
        company.put("d", 2, Expected((), tags=((1, tag_of(first["_id"])),))),
        company.put("gone", 2, Expected()),
        company.put("never", 2, Expected((1,))),
    )
    done, late, also, others, deleted, never = outcomes
    assert isinstance(done, Written)
    assert (done.version, done.created, done.id) == (2, False, first["_id"])
    assert done.created_at == first["createdAt"]
    assert isinstance(also, Written)
    assert all(map(is_stale, (late, others, deleted, never)))
    assert [await company.value(key) for key in ("a", "b", "c", "d", "gone", "never")] == [
        (2, 2),
        (1, 1),
        (2, 2),
        (1, 1),
        None,
        None,
    ]
    assert company.alone == []


async def test_of_two_with_the_same_version_one_wins(company: Company) -> None:
    await company.store(a=0)
    outcomes = await asyncio.gather(*(company.put("a", n, Expected((1,))) for n in range(1, 9)))
    (won,) = [number for number, one in enumerate(outcomes, 1) if isinstance(one, Written)]
    assert sum(map(is_stale, outcomes)) == 7
    assert await company.value("a") == (2, won)


async def test_without_a_precondition_whoever_comes_second_tries_alone(company: Company) -> None:
    await company.store(a=0)
    outcomes = await asyncio.gather(*(company.put("a", n) for n in range(1, 6)))
    assert sorted(one.version for one in outcomes if isinstance(one, Written)) == [2, 3, 4, 5, 6]
    assert len(company.alone) == 4


async def test_what_is_new_or_was_deleted_is_written_alone(company: Company) -> None:
    await company.store(gone=1)
    await AppData.delete(company.user_id, "notes", "gone", by="test")
    outcomes = await asyncio.gather(company.put("new", 1), company.put("gone", 2))
    assert [one.version for one in outcomes if isinstance(one, Written)] == [1, 3]
    assert sorted(company.alone) == ["gone", "new"]


async def test_what_is_over_is_not_there(company: Company) -> None:
    past = now() - timedelta(seconds=1)
    await AppData.put(company.user_id, "notes", "a", 1, size=1, by="test", expires_at=past)
    assert is_stale(await company.put("a", 2, Expected((1,))))
    ahead = now() + timedelta(hours=1)
    await AppData.put(company.user_id, "notes", "b", 1, size=1, by="test", expires_at=ahead)
    kept = await company.put("b", 2, Expected((1,)), expires_at=Expiry.KEEP)
    assert isinstance(kept, Written)
    assert kept.expires_at is not None
    ended = await company.put("b", 3, Expected((2,)))
    assert isinstance(ended, Written)
    assert ended.expires_at is None
    row = await AppData.find_envelope(company.user_id, "notes", "b")
    assert row is not None
    assert "expiresAt" not in row


async def test_what_is_written_is_not_older_than_what_was_there(company: Company) -> None:
    """Else `If-Unmodified-Since` would hold for who has not seen it."""
    ahead = now() + timedelta(seconds=2)
    await company.store(a=1)
    await AppData.raw().update_one({"dataKey": "a"}, {"$set": {"updatedAt": ahead}})
    done = await company.put("a", 2, Expected((1,)))
    row = await AppData.find_envelope(company.user_id, "notes", "a")
    assert isinstance(done, Written)
    assert row is not None
    assert done.updated_at == row["updatedAt"] == ahead


async def test_nothing_is_written_of_a_user_who_is_gone(company: Company) -> None:
    await company.store(a=1)
    await AppData.put(NOBODY, "notes", "a", 1, size=1, by="test")
    done, gone = await asyncio.gather(
        company.put("a", 2, Expected((1,))), company.put("a", 2, Expected((1,)), user=NOBODY)
    )
    assert isinstance(done, Written)
    assert isinstance(gone, NotFound)
    row = await AppData.find_by_user_app_and_key(NOBODY, "notes", "a")
    assert row is not None
    assert row["version"] == 1


async def test_a_large_value_goes_alone(company: Company) -> None:
    await company.store(a=1)
    await company.put("a", 2, Expected((1,)), size=LARGEST + 1)
    assert company.alone == ["a"]


@pytest.mark.parametrize(
    ("fault", "apart"), [(NetworkTimeout("late"), True), (AutoReconnect("away"), False)]
)
async def test_a_fault_of_the_database_is_told_to_all_and_who_was_held_up_goes_apart(
    company: Company, monkeypatch: pytest.MonkeyPatch, fault: PyMongoError, apart: bool
) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise fault

    await company.store(a=1, b=1)
    with monkeypatch.context() as patched:
        patched.setattr(type(AppData.raw()), "bulk_write", fails)
        outcomes = await asyncio.gather(company.put("a", 2, Expected((1,))), company.put("b", 2))
    assert outcomes == [fault, fault]
    assert isinstance(await company.put("a", 3, Expected((1,))), Written)
    assert company.alone == (["a"] if apart else [])


async def test_a_query_that_fails_fails_one_alone(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    await company.store(a=1, b=1)

    async def fails(places: Any) -> Any:
        if any(place[2] == "b" for place in places):
            raise PyMongoError("of b")
        return await read_versions(places)

    monkeypatch.setattr("app.app_data.swaps.read_versions", fails)
    done, failed = await asyncio.gather(
        company.put("a", 2, Expected((1,))), company.put("b", 2, Expected((1,)))
    )
    assert isinstance(done, Written)
    assert isinstance(failed, PyMongoError)
    assert await company.value("a") == (2, 2)


async def test_a_crowd_of_clients_gets_the_answers_that_each_alone_would_get(cast: Cast) -> None:
    """Each of forty counts a key of its own up by compare-and-set, and one that all share by
    patches and puts without a precondition."""
    own, shared = "/v1/users/me/apps/notes/data/own-{}", "/v1/users/me/apps/notes/data/shared"
    await cast.owner.put(shared, json={})

    async def count(number: int) -> None:
        tag = (await cast.owner.put(own.format(number), json=0)).headers["etag"]
        for turn in range(1, 6):
            path, condition = own.format(number), {"If-Match": tag}
            answer = await cast.owner.put(path, json=turn, headers=condition)
            assert (answer.status_code, answer.json()["version"]) == (200, turn + 1), answer.text
            again = await cast.owner.put(path, json="late", headers=condition)
            assert again.status_code == 412
            assert again.json()["current"]["value"] == turn
            tag = answer.headers["etag"]
            patched = await cast.owner.merge(shared, {f"{number}-{turn}": turn})
            assert patched.status_code == 200, patched.text

    await asyncio.gather(*map(count, range(40)))
    found = await cast.owner.get(shared)
    assert len(found.json()) == 200
    assert found.headers["etag"].startswith('"')
