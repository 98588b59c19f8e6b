"""Projects and their members: who reaches them, who changes them, what a user's deletion leaves."""

from typing import Any

import pytest

from models.project import Project
from models.repository_connection import RepositoryConnection
from tests.app.repositories.conftest import Forge
from tests.cast import Cast
from tests.harness import version_of


async def test_a_user_makes_a_project_and_is_its_admin(forge: Forge) -> None:
    seen = (await forge.cast.owner.get(forge.project)).json()
    assert set(seen) == {"id", "version", "createdAt", "updatedAt", "name", "members"}
    assert seen["members"] == [{"userId": forge.cast.owner.id, "role": "admin"}]
    listed = (await forge.cast.owner.get("/v1/projects")).json()["items"]
    assert listed == [seen]
    assert (await forge.cast.stranger.get("/v1/projects")).json()["items"] == []
    assert (await forge.cast.admin.get("/v1/projects")).json()["items"] == [seen]


async def test_who_is_no_member_is_told_nothing(forge: Forge) -> None:
    nobody = (await forge.cast.stranger.get("/v1/projects/" + "f" * 24)).json()["detail"]
    for verb, tail in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/deletion-plan"),
        ("GET", f"/members/{forge.cast.owner.id}"),
    ):
        answer = await forge.cast.stranger.request(verb, forge.project + tail)
        assert (answer.status_code, answer.json()["detail"]) == (404, nobody)
    put = await forge.cast.stranger.put(f"{forge.project}/members/me", json={"role": "admin"})
    assert put.status_code == 404
    assert (await forge.cast.owner_in_app.get(forge.project)).status_code == 403
    assert (await forge.cast.reader.get(forge.project)).status_code == 403


async def test_members_read_admins_write(forge: Forge) -> None:
    stranger = forge.cast.stranger
    path = f"{forge.project}/members/{stranger.id}"
    await forge.join(stranger, "member")
    assert (await stranger.get(forge.project)).status_code == 200
    assert (await stranger.get(path)).json()["role"] == "member"
    assert (await stranger.merge(forge.project, {"name": "x"})).status_code == 403
    assert (await stranger.delete(forge.project)).status_code == 403
    assert (await stranger.put(path, json={"role": "admin"})).status_code == 403
    assert (
        await stranger.delete(f"{forge.project}/members/{forge.cast.owner.id}")
    ).status_code == 403
    raised = await forge.cast.owner.put(path, json={"role": "admin"})
    assert raised.status_code == 200
    assert (await stranger.merge(forge.project, {"name": "Theirs"})).json()["name"] == "Theirs"
    assert (await forge.cast.owner.delete(f"{forge.project}/members/me")).status_code == 204
    assert (await forge.cast.owner.get(forge.project)).status_code == 404


async def test_a_project_keeps_an_admin(forge: Forge) -> None:
    path = f"{forge.project}/members/me"
    for answer in (
        await forge.cast.owner.delete(path),
        await forge.cast.owner.put(path, json={"role": "member"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "restricted")
    assert (await forge.cast.owner.get(path)).json()["role"] == "admin"


@pytest.mark.parametrize("user", ["f" * 24, "nonsense"])
async def test_who_is_not_there_becomes_no_member(forge: Forge, user: str) -> None:
    answer = await forge.cast.admin.put(f"{forge.project}/members/{user}", json={"role": "member"})
    assert answer.status_code == 404
    assert (await forge.cast.owner.get(f"{forge.project}/members/{user}")).status_code == 404
    assert (await forge.cast.owner.delete(f"{forge.project}/members/{user}")).status_code == 404


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": 7}, {"name": "x", "members": []}, {"name": "x" * 256}]
)
async def test_a_project_without_a_proper_name_is_422(forge: Forge, body: Any) -> None:
    assert (await forge.cast.owner.post("/v1/projects", json=body)).status_code == 422
    assert await Project.raw().count_documents({}) == 1


async def test_a_name_changes_by_patch_and_nothing_else_does(forge: Forge) -> None:
    renamed = await forge.cast.owner.merge(
        forge.project, {"name": "New"}, headers={"If-Match": '"1"'}
    )
    assert (renamed.status_code, renamed.json()["name"], version_of(renamed)) == (200, "New", 2)
    stale = await forge.cast.owner.merge(
        forge.project, {"name": "Old"}, headers={"If-Match": '"1"'}
    )
    assert (stale.status_code, stale.json()["current"]["name"]) == (412, "New")
    for patch in ({"members": []}, {"accountId": "f" * 24}, {"name": None}):
        assert (await forge.cast.owner.merge(forge.project, patch)).status_code == 422


async def test_deleting_a_project_takes_its_repository_and_events_and_the_webhook_outside(
    forge: Forge,
) -> None:
    await forge.connect()
    await forge.deliver()
    expected = {"projects": 1, "repositoryconnections": 1, "webhookevents": 1}
    plan = await forge.cast.owner.get(f"{forge.project}/deletion-plan")
    assert plan.json()["deleted"] == expected
    receipt = (await forge.cast.owner.delete(forge.project)).json()
    assert (receipt["deleted"], receipt["outsideLinks"]) == (expected, 1)
    assert await RepositoryConnection.raw().count_documents({}) == 0
    assert (await forge.deliver()).status_code == 401
    await forge.run_jobs()
    assert forge.hosts["GitHub"].repos["acme/notes"].hooks == {}


async def test_deleting_a_user_takes_the_membership_and_leaves_the_project(forge: Forge) -> None:
    stranger = forge.cast.stranger
    await forge.join(stranger, "admin")
    assert (await stranger.delete("/v1/users/me")).status_code == 200
    seen = (await forge.cast.owner.get(forge.project)).json()
    assert seen["members"] == [{"userId": forge.cast.owner.id, "role": "admin"}]


async def test_a_project_of_an_account_goes_with_it(cast: Cast) -> None:
    account = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
    made = await cast.admin.post("/v1/projects", json={"name": "site", "accountId": account})
    assert (made.status_code, made.json()["accountId"]) == (201, account)
    plan = (await cast.admin.get(f"/v1/accounts/{account}/deletion-plan")).json()
    assert plan["deleted"] == {"accounts": 1, "projects": 1}
    deleted = await cast.admin.delete(f"/v1/accounts/{account}")
    assert (deleted.status_code, deleted.json().get("deleted")) == (
        200,
        plan["deleted"],
    ), deleted.text
    assert (await cast.admin.get(made.headers["location"])).status_code == 404


async def test_a_project_is_of_an_account_that_takes_it(cast: Cast) -> None:
    account = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
    for caller, named in ((cast.admin, "f" * 24), (cast.owner, account)):
        refused = await caller.post("/v1/projects", json={"name": "site", "accountId": named})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/accountId")
    assert (await cast.admin.get("/v1/projects")).json()["items"] == []
