"""A role in a project that is taken away while its holder's request is under way opens nothing any
more."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.identity.access import PROJECT_ADMINS
from app.main import declared_rules
from models import User
from models.base import now
from models.project import Project
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent
from tests.app.withdrawn import at_the_last_moment
from tests.cast import Cast
from tests.factories.changing import BODIES, REPOSITORY, by_id, everything
from tests.factories.operations import MERGE
from tests.harness import Api, Caller

ACCESS = declared_rules()

ROUTES = sorted(
    name
    for name, access in ACCESS.items()
    if access.scope == PROJECT_ADMINS.scope
    and access.people == PROJECT_ADMINS.people
    and not name.startswith("GET ")
)
BODIES = {**BODIES, "PUT /v1/projects/{projectId}/members/{userId}": {"role": "member"}}
pytestmark = pytest.mark.usefixtures("no_hosts")


async def project_of(cast: Cast, api: Api, *admins: str) -> str:
    """A project of the owner's, in which these are admins as well, with a repository; its path."""
    made = (await cast.owner.post("/v1/projects", json={"name": "Notes"})).json()
    path = f"/v1/projects/{made['id']}"
    for user_id in admins:
        assert (
            await cast.admin.put(f"{path}/members/{user_id}", json={"role": "admin"})
        ).status_code == 201
    return path


async def without(user_id: str, *, role: str | None) -> None:
    """Give a member another role, or take them out."""
    row = await Project.raw().find_one({"members.userId": ObjectId(user_id)})
    assert row is not None
    members = [each for each in row["members"] if each["userId"] != ObjectId(user_id)]
    members += [{"userId": ObjectId(user_id), "role": role}] if role else []
    assert await Project.change({"_id": row["_id"]}, {"members": members})


@pytest.mark.parametrize("role", ["member", None])
@pytest.mark.parametrize("route", ROUTES)
async def test_who_is_no_admin_any_more_meanwhile_changes_nothing(
    database: AsyncDatabase[Any],
    cast: Cast,
    api: Api,
    route: str,
    role: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = (await cast.admin.post("/v1/users", json={})).json()["id"]
    path = await project_of(cast, api, cast.stranger.id, other)
    assert (await cast.owner.put(f"{path}/repository", json=REPOSITORY)).status_code == 201
    repository = await RepositoryConnection.raw().find_one({})
    assert repository is not None
    event = {"connectionId": repository["_id"], "deliveryId": "1", "event": "push", "payload": {}}
    told = await WebhookEvent.model_validate(
        {**event, "status": "failed", "receivedAt": now()}
    ).add()
    method, template = route.split(" ")
    given = {"projectId": path.rpartition("/")[2], "userId": other, "eventId": str(told.id)}
    options: dict[str, Any] = {"headers": MERGE if method == "PATCH" else {}}
    if route in BODIES:
        options["json"] = BODIES[route]
    before = await everything(database)
    happened = at_the_last_moment(monkeypatch, lambda: without(cast.stranger.id, role=role))
    answer = await cast.stranger.request(method, template.format(**given), **options)
    assert (happened, answer.status_code) == (["it has"], 403 if role else 404), answer.text
    after = await everything(database)
    project = after.pop("projects")[0]
    assert (project["name"], project["version"]) == (
        "Notes",
        before.pop("projects")[0]["version"] + 1,
    )
    assert ObjectId(other) in [
        each["userId"] for each in project["members"] if each["role"] == "admin"
    ]
    assert {name: by_id(rows) for name, rows in after.items() if rows} == {
        name: by_id(rows) for name, rows in before.items() if rows
    }


@pytest.mark.parametrize("demoted", [False, True], ids=["removed", "demoted"])
async def test_of_two_admins_who_take_each_others_role_at_once_one_keeps_it(
    cast: Cast, api: Api, demoted: bool
) -> None:
    pair = cast.owner, cast.stranger
    for _ in range(16):
        path = await project_of(cast, api, cast.stranger.id)

        async def takes(one: Caller, other: Caller, path: str = path) -> int:
            place = f"{path}/members/{other.id}"
            answer = await (
                one.put(place, json={"role": "member"}) if demoted else one.delete(place)
            )
            return answer.status_code

        found = await asyncio.gather(takes(*pair), takes(*reversed(pair)))
        assert sorted(found) == ([200, 403] if demoted else [204, 404])
        members = (await cast.admin.get(path)).json()["members"]
        assert [each["role"] for each in members].count("admin") == 1


async def test_nobody_renames_a_project_after_they_were_taken_out(cast: Cast, api: Api) -> None:
    for _ in range(8):
        path = await project_of(cast, api, cast.stranger.id)
        place = f"{path}/members/{cast.stranger.id}"
        renamed, out = await asyncio.gather(
            cast.stranger.merge(path, {"name": "Theirs"}), cast.owner.delete(place)
        )
        assert (out.status_code, renamed.status_code in (200, 404)) == (204, True)
        shown = (await cast.owner.get(path)).json()
        assert shown["name"] == ("Theirs" if renamed.status_code == 200 else "Notes")
        if renamed.status_code == 200:
            assert renamed.json()["version"] < shown["version"]  # it came first


async def test_who_has_left_the_account_meanwhile_puts_nobody_of_it_into_a_project(
    cast: Cast, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = (await cast.admin.post("/v1/accounts", json={"name": "Acme"})).json()["id"]
    for person in (cast.owner, cast.stranger):
        assert (
            await cast.admin.merge(f"/v1/users/{person.id}", {"accountId": account})
        ).status_code == 200
    path = await project_of(cast, api)

    async def leave() -> None:
        await User.change({"_id": ObjectId(cast.owner.id)}, {"accountId": None})

    with monkeypatch.context() as patched:
        happened = at_the_last_moment(patched, leave)
        answer = await cast.owner.put(f"{path}/members/{cast.stranger.id}", json={"role": "admin"})
    assert (happened, answer.status_code) == (["it has"], 202)
    assert [each["userId"] for each in (await cast.owner.get(path)).json()["members"]] == [
        cast.owner.id
    ]

    await cast.admin.merge(f"/v1/users/{cast.owner.id}", {"accountId": account})
    happened = at_the_last_moment(monkeypatch, leave)
    answer = await cast.owner.post("/v1/projects", json={"name": "x", "accountId": account})
    assert (happened, answer.status_code, answer.json()["code"]) == (
        ["it has"],
        400,
        "bad_reference",
    )
    assert await Project.raw().count_documents({"accountId": ObjectId(account)}) == 0


async def test_who_leaves_needs_no_role_and_is_an_admin_or_not(cast: Cast, api: Api) -> None:
    path = await project_of(cast, api, cast.stranger.id)
    assert (await cast.stranger.delete(f"{path}/members/me")).status_code == 204
    assert (await cast.stranger.delete(f"{path}/members/me")).status_code == 404
    assert (await cast.owner.delete(f"{path}/members/me")).status_code == 409
