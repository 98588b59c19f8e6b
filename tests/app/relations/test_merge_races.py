"""Merging two people while something is being written for them, deleted, or merged the other
way."""

import asyncio
import random
from typing import Any

import pytest
from bson import ObjectId

from models import AppData
from models.user import User
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.factories.deletions import finish, orphans_of, settle
from tests.harness import Api, Caller

ROUNDS = 15


async def two_people(admin: Caller) -> list[str]:
    return [(await admin.post("/v1/users", json={})).json()["id"] for _ in range(2)]


async def merge(admin: Caller, source: str, into: str) -> Any:
    body = {"into": into, "keep": "target"}
    return await admin.post(f"/v1/users/{source}/merge", json=body)


async def write_until_gone(user: Caller, name: str) -> set[str]:
    """The keys that were acknowledged."""
    stored: set[str] = set()
    while True:
        key = f"{name}-{len(stored)}"
        answer = await user.put(f"/v1/users/me/apps/notes/data/{key}", json=key)
        if answer.status_code == 404:
            return stored
        assert answer.status_code == 201, answer.text
        stored.add(key)


async def test_no_acknowledged_write_is_lost_beside_a_merge(make_api: MakeApi, cast: Cast) -> None:
    """Two applications, of which one does not know of the merge at first."""
    first, second = await make_api(), await make_api()
    randomness, written = random.Random(11), 0
    for _ in range(ROUNDS):
        source, target = await two_people(cast.admin)
        writers = [
            asyncio.create_task(write_until_gone(api.token(source), f"k{number}"))
            for number, api in enumerate((first, second, second))
        ]
        await asyncio.sleep(randomness.uniform(0.01, 0.05))
        done = await merge(first.caller(cast.admin.secret), source, target)
        assert done.status_code in (200, 202), done.text
        second.app.state.leases.drop(ObjectId(source))  # five seconds later, in real life
        stored = set().union(*await asyncio.gather(*writers))
        await finish(first.settings, ObjectId(source))
        await settle(first.settings, ObjectId(source))
        rows = AppData.raw().find({"userId": ObjectId(target)}, {"dataKey": 1, "value": 1})
        assert {row["dataKey"] async for row in rows} == stored
        assert await orphans_of(ObjectId(source)) == {}
        written += len(stored)
    assert written > ROUNDS, "the writers wrote too little for a race"


async def test_of_two_merges_in_both_directions_one_is_made(api: Api, cast: Cast) -> None:
    for _ in range(ROUNDS):
        people = await two_people(cast.admin)
        for number, person in enumerate(people):
            await api.token(person).put(f"/v1/users/me/apps/notes/data/k{number}", json=number)
        answers = await asyncio.gather(
            merge(cast.admin, *people), merge(cast.admin, *reversed(people))
        )
        made = sum(answer.is_success for answer in answers)
        assert made == 1, [answer.text for answer in answers]
        assert {answer.status_code for answer in answers} <= {200, 202, 400, 404, 410}
        for person in people:
            await finish(api.settings, ObjectId(person))
        left = [
            row["_id"] async for row in User.raw().find({"_id": {"$in": [*map(ObjectId, people)]}})
        ]
        assert len(left) == 1
        assert await AppData.raw().count_documents({"userId": left[0]}) == 2
        await AppData.raw().delete_many({})


@pytest.mark.parametrize("which", ["source", "target"])
async def test_a_deletion_beside_a_merge_leaves_nothing_of_nobody(
    api: Api, cast: Cast, which: str
) -> None:
    seen = set()
    for number in range(ROUNDS):
        source, target = await two_people(cast.admin)
        await api.token(source).put("/v1/users/me/apps/notes/data/k", json=1)
        gone = source if which == "source" else target

        async def delete(gone: str = gone, late: float = number % 3 / 100) -> Any:
            await asyncio.sleep(late)
            return await cast.admin.delete(f"/v1/users/{gone}")

        merged, deleted = await asyncio.gather(merge(cast.admin, source, target), delete())
        seen.add((merged.status_code, deleted.status_code))
        assert {merged.status_code, deleted.status_code} <= {200, 202, 400, 404}
        for person in (source, target):
            if await User.raw().find_one({"_id": ObjectId(person)}) is None:
                await finish(api.settings, ObjectId(person))
                await settle(api.settings, ObjectId(person))
                assert await orphans_of(ObjectId(person)) == {}
        kept = await AppData.raw().count_documents({"userId": ObjectId(target), "deleted": False})
        assert kept == (which == "source" and merged.is_success)
    assert len(seen) >= 1


async def test_what_is_left_goes_where_the_target_was_deleted_meanwhile(
    make_api: MakeApi, cast: Cast
) -> None:
    api = await make_api(deletion_inline_seconds=-1)
    source, target = await two_people(cast.admin)
    same = {"userId": ObjectId(source), "appId": "notes", "version": 1, "deleted": False}
    rows = [{**same, "dataKey": f"k{number}"} for number in range(300)]
    await AppData.raw().insert_many(rows)
    started = await merge(api.caller(cast.admin.secret), source, target)
    assert started.status_code == 202
    assert (await cast.admin.delete(f"/v1/users/{target}")).status_code == 200
    await settle(api.settings, ObjectId(source))
    await settle(api.settings, ObjectId(target))
    assert await AppData.raw().count_documents({}) == 0
    assert (await cast.admin.get(f"/v1/users/{source}")).status_code == 404
