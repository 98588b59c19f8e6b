"""Between the commit of a large deletion and the end of its sweep, nothing below the root is shown
or written to."""

from typing import Any

import pytest
from bson import ObjectId

from app.jobs import run_one
from app.work import handlers
from models import Connection, Job, Profile, User
from models.base import now
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Api, Caller

PEOPLE = 150


@pytest.fixture
async def half_gone(make_api: MakeApi, cast: Cast) -> tuple[Api, Caller, Caller, str]:
    """An account that was deleted, of which no sweep has come to one user yet: admin, that user,
    and their project."""
    api = await make_api(deletion_small_tree=5, deletion_inline_seconds=0, bank_sandbox=True)
    admin = api.caller(cast.admin.credential)
    account = (await admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
    rows = [
        User(account_id=ObjectId(account), email=f"p{n}@acme.test").stored() for n in range(PEOPLE)
    ]  # type: ignore[arg-type]
    await User.raw().insert_many(rows)
    project = (
        await admin.post("/v1/projects", json={"name": "site", "accountId": account})
    ).json()["id"]
    assert (await admin.delete(f"/v1/accounts/{account}")).status_code == 202
    left = await User.raw().find_one({"accountId": ObjectId(account)})
    assert left is not None, "swept already, so this shows nothing"
    return api, admin, api.token(str(left["_id"])), project


async def test_nothing_of_it_is_shown(half_gone: tuple[Api, Caller, Caller, str]) -> None:
    _, admin, user, project = half_gone
    email = (await User.raw().find_one({"_id": ObjectId(user.id)}) or {})["email"]
    for path in (
        "",
        "/complete",
        "/profile",
        "/preferences",
        "/activity",
        "/connections",
        "/deletion-plan",
    ):
        for caller in (admin, user):
            assert (path, (await caller.get(f"/v1/users/{user.id}{path}")).status_code) == (
                path,
                404,
            )
    listed = (await admin.get("/v1/users?limit=200")).json()["items"]
    assert {item["email"] for item in listed} == {"owner@example.com", "stranger@example.com"}
    assert (await admin.get("/v1/users", params={"email": email})).json()["items"] == []
    assert (await admin.get(f"/v1/projects/{project}")).status_code == 404
    assert (await admin.get("/v1/projects")).json()["items"] == []


async def test_nothing_is_written_to_it(half_gone: tuple[Api, Caller, Caller, str]) -> None:
    _, admin, user, _ = half_gone
    connection = {
        "provider": "sandbox",
        "institution": "B",
        "label": "l",
        "accessToken": "sandbox_ann",
    }
    answers = [
        await user.put("/v1/users/me/profile", json={"bio": "b"}),
        await user.put("/v1/users/me/apps/notes/data/k", json=1),
        await user.post("/v1/users/me/connections", json=connection),
        await user.post("/v1/projects", json={"name": "mine"}),
        await admin.delete(f"/v1/users/{user.id}"),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 404, 404]
    counts = [
        await kind.raw().count_documents({"userId": ObjectId(user.id)})
        for kind in (Profile, Connection)
    ]
    assert counts == [0, 0]


async def test_the_sweep_then_takes_it_all(half_gone: tuple[Api, Caller, Caller, str]) -> None:
    api, _, _, _ = half_gone
    await Job.raw().update_many({"state": "due"}, {"$set": {"runAt": now()}})
    while await run_one(handlers(api.settings)):
        pass
    left: Any = await User.raw().count_documents({"accountId": {"$exists": True}})
    assert left == 0
