"""A project whose last admin is deleted: its longest-standing member becomes admin, however the two
come together."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId

from app.jobs import run_one
from app.work import handlers
from models.activity import Activity
from models.base import now
from models.job import Job
from models.project import Project
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Api, Caller


async def project_of(cast: Cast, owner: Caller, *others: tuple[str, str]) -> str:
    """The path of a new project of the owner's, with others in their roles, which a key gave
    them."""
    made = await owner.post("/v1/projects", json={"name": "Notes"})
    path = f"/v1/projects/{made.json()['id']}"
    for user_id, role in others:
        assert (
            await cast.admin.put(f"{path}/members/{user_id}", json={"role": role})
        ).status_code == 201
    return path


async def users(cast: Cast, count: int) -> list[str]:
    return [(await cast.admin.post("/v1/users", json={})).json()["id"] for _ in range(count)]


async def members(cast: Cast, path: str) -> list[tuple[str, str]]:
    return [
        (each["userId"], each["role"]) for each in (await cast.admin.get(path)).json()["members"]
    ]


async def work_off(api: Api) -> None:
    await Job.raw().update_many({}, {"$set": {"runAt": now()}})
    while await run_one(handlers(api.settings)):
        pass


@pytest.fixture(
    params=[{}, {"deletion_small_tree": 1, "deletion_inline_seconds": 30}], ids=["at once", "swept"]
)
async def deleting(request: pytest.FixtureRequest, make_api: MakeApi, cast: Cast) -> Api:
    """An application whose deletions are one transaction, or a sweep."""
    await Activity.raw().insert_many(
        [
            {"userId": ObjectId(cast.owner.id), "appId": "notes", "timestamp": now()}
            for _ in range(3)
        ]
    )
    return await make_api(**request.param)


async def test_the_longest_standing_member_follows_the_last_admin(
    deleting: Api, cast: Cast
) -> None:
    first, second = await users(cast, 2)
    path = await project_of(cast, cast.owner, (first, "member"), (second, "member"))
    before = (await cast.admin.get(path)).json()["version"]
    answer = await deleting.token(cast.owner.id).delete("/v1/users/me")
    assert (answer.status_code, answer.json()["nulled"]) == (200, {"projects": 1})
    assert await members(cast, path) == [(first, "admin"), (second, "member")]
    assert (await cast.admin.get(path)).json()["version"] == before + 1
    assert (await deleting.token(first).merge(path, {"name": "Theirs"})).status_code == 200


async def test_nobody_is_raised_while_an_admin_is_left(deleting: Api, cast: Cast) -> None:
    first, second = await users(cast, 2)
    path = await project_of(cast, cast.owner, (first, "member"), (second, "admin"))
    assert (await deleting.token(cast.owner.id).delete("/v1/users/me")).status_code == 200
    assert await members(cast, path) == [(first, "member"), (second, "admin")]


async def test_a_project_without_members_is_for_keys_and_admins(deleting: Api, cast: Cast) -> None:
    path = await project_of(cast, cast.owner)
    assert (await deleting.token(cast.owner.id).delete("/v1/users/me")).status_code == 200
    assert await members(cast, path) == []
    assert (await cast.stranger.get(path)).status_code == 404
    place = f"{path}/members/{cast.stranger.id}"
    assert (await cast.admin.put(place, json={"role": "member"})).status_code == 409
    assert (await cast.admin.put(place, json={"role": "admin"})).status_code == 201
    assert (await cast.stranger.get(path)).status_code == 200


async def test_an_admin_who_steps_down_before_the_sweep_of_the_other_is_raised_again(
    make_api: MakeApi, cast: Cast
) -> None:
    api = await make_api(deletion_small_tree=1, deletion_inline_seconds=0)
    (gone,) = await users(cast, 1)
    path = await project_of(cast, cast.owner, (gone, "admin"))
    await Activity.raw().insert_many(
        [{"userId": ObjectId(gone), "appId": "notes", "timestamp": now()} for _ in range(1500)]
    )
    assert (await api.token(gone).delete("/v1/users/me")).status_code == 202
    assert (await cast.owner.put(f"{path}/members/me", json={"role": "member"})).status_code == 200
    assert await members(cast, path) == [(cast.owner.id, "member"), (gone, "admin")]
    await work_off(api)
    assert await members(cast, path) == [(cast.owner.id, "admin")]


async def test_who_is_deleted_too_does_not_follow(make_api: MakeApi, cast: Cast) -> None:
    api = await make_api(deletion_small_tree=1, deletion_inline_seconds=0)
    doomed, left = await users(cast, 2)
    path = await project_of(cast, cast.owner, (doomed, "member"), (left, "member"))
    await Activity.raw().insert_many(
        [{"userId": ObjectId(doomed), "appId": "notes", "timestamp": now()} for _ in range(1500)]
    )
    assert (await api.token(doomed).delete("/v1/users/me")).status_code == 202
    assert (await cast.owner.delete("/v1/users/me")).status_code == 200
    assert await members(cast, path) == [(doomed, "member"), (left, "admin")]
    await work_off(api)
    assert await members(cast, path) == [(left, "admin")]


async def test_whatever_comes_first_an_admin_is_left(make_api: MakeApi, cast: Cast) -> None:
    """Stepping down, against the deletion of the other admin, both ways and with both deleted."""
    for round_ in range(12):
        api = await make_api(
            deletion_small_tree=1 if round_ % 2 else 1000, deletion_inline_seconds=30
        )
        one, other, third = await users(cast, 3)
        path = await project_of(cast, api.token(one), (other, "admin"), (third, "member"))
        second: Any = (
            api.token(one).put(f"{path}/members/{one}", json={"role": "member"})
            if round_ % 3
            else api.token(one).delete("/v1/users/me")
        )
        answers = await asyncio.gather(api.token(other).delete("/v1/users/me"), second)
        assert answers[0].status_code == 200
        assert answers[1].status_code in (200, 409)
        left = await members(cast, path)
        assert other not in [user_id for user_id, _ in left]
        assert any(role == "admin" for _, role in left), (round_, left)
    assert await Project.raw().count_documents({"members.role": "admin"}) == 12
