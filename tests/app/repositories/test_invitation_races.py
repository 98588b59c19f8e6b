"""Invitations that others race, and half-done ones."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient

from app.identity.principal import Principal
from app.repositories.invitations import place_member
from models import Invitation, Project
from models.base import Raw
from tests.app.faults import failing
from tests.cast import Cast
from tests.factories.invitations import (
    NEVER,
    accept,
    invitations,
    invite,
    invited,
    members,
    new_project,
)
from tests.harness import Api


async def test_who_accepts_while_others_change_the_project_becomes_a_member(
    cast: Cast, api: Api
) -> None:
    project = await new_project(cast.owner)
    people = [
        api.token((await cast.admin.post("/v1/users", json={})).json()["id"]) for _ in range(10)
    ]
    for person in people:
        assert (await invite(cast.owner, project, person.id)).status_code == 202
    renames = (
        cast.owner.merge(f"/v1/projects/{project}", {"name": f"n{number}"}) for number in range(10)
    )
    answers = await asyncio.gather(*(accept(person, project) for person in people), *renames)
    assert Counter(answer.status_code for answer in answers) == {200: 20}
    assert len(await members(cast, project)) == 11


@pytest.mark.parametrize("skip", range(3))
async def test_an_acceptance_that_fails_half_way_leaves_the_invitation(
    cast: Cast, client: AsyncMongoClient[Raw], skip: int
) -> None:
    """Taking the invitation, referring to the user, changing the project."""
    project = await new_project(cast.owner)
    await invite(cast.owner, project, cast.stranger.id)
    async with failing(client, "findAndModify", mode={"skip": skip}, errorCode=96):
        assert (await accept(cast.stranger, project)).status_code >= 500
    assert await members(cast, project) == [(cast.owner.id, "admin")]
    assert len(await invitations(cast.stranger)) == 1
    assert (await accept(cast.stranger, project)).status_code == 200


async def test_invitations_go_with_the_project(cast: Cast) -> None:
    kept, gone = await new_project(cast.owner), await new_project(cast.owner)
    for project in (kept, gone):
        await invite(cast.owner, project, cast.stranger.id)
    plan = (await cast.owner.get(f"/v1/projects/{gone}/deletion-plan")).json()
    assert plan["deleted"] == {"projects": 1, "invitations": 1}
    assert (await cast.owner.delete(f"/v1/projects/{gone}")).json()["deleted"] == plan["deleted"]
    assert [each["projectId"] for each in await invitations(cast.stranger)] == [kept]


async def test_a_project_without_an_admin_takes_no_member_but_an_admin(cast: Cast) -> None:
    """Its last admin was deleted while others were invited."""
    project = await new_project(cast.owner)
    await invite(cast.owner, project, cast.stranger.id)
    assert (await cast.owner.delete("/v1/users/me")).status_code == 200
    refused = await accept(cast.stranger, project)
    assert (refused.status_code, refused.json()["code"]) == (409, "restricted")
    assert len(await invitations(cast.stranger)) == 1
    await Invitation.raw().update_one({}, {"$set": {"role": "admin"}})
    assert (await accept(cast.stranger, project)).status_code == 200


async def test_a_project_invites_so_many_and_no_more(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.repositories.invitations._MOST_OPEN", 3)
    project = await new_project(cast.owner)
    answers = await asyncio.gather(
        *(invite(cast.owner, project, str(ObjectId())) for _ in range(8))
    )
    assert Counter(answer.status_code for answer in answers) == {202: 3, 422: 5}
    assert len(await invited(cast.owner, project)) == 3


async def test_lists_go_page_by_page(cast: Cast) -> None:
    projects = [await new_project(cast.owner, f"n{number}") for number in range(3)]
    for project in projects:
        await invite(cast.owner, project, cast.stranger.id)
    seen, cursor = [], None
    while True:
        page = (
            await cast.stranger.get(
                "/v1/users/me/invitations", params={"limit": 2} | _after(cursor)
            )
        ).json()
        seen += [each["projectName"] for each in page["items"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert seen == ["n2", "n1", "n0"]


def _after(cursor: str | None) -> dict[str, Any]:
    return {} if cursor is None else {"cursor": cursor}


async def test_members_who_are_no_admins_neither_invite_nor_see_whom_others_have_invited(
    cast: Cast, api: Api
) -> None:
    project = await new_project(cast.owner)
    await invite(cast.owner, project, cast.stranger.id)
    await accept(cast.stranger, project)
    assert (await invite(cast.stranger, project, NEVER)).status_code == 403
    assert (await cast.stranger.get(f"/v1/projects/{project}/invitations")).status_code == 403
    listed = await (await api.key("projects:read")).get(f"/v1/projects/{project}/invitations")
    assert listed.json()["items"] == []


async def test_a_late_repeat_of_an_acceptance_accepts_no_later_invitation(cast: Cast) -> None:
    project, key = await new_project(cast.owner), {"Idempotency-Key": "once"}
    await invite(cast.owner, project, cast.stranger.id)
    assert (await accept(cast.stranger, project, headers=key)).status_code == 200
    assert (await accept(cast.stranger, project, headers=key)).status_code == 200
    assert (
        await cast.owner.delete(f"/v1/projects/{project}/members/{cast.stranger.id}")
    ).status_code == 204
    assert (await invite(cast.owner, project, cast.stranger.id, "admin")).status_code == 202
    repeated = await accept(cast.stranger, project, headers=key)
    assert (repeated.status_code, repeated.json()["code"]) == (404, "result_gone")
    assert await members(cast, project) == [(cast.owner.id, "admin")]
    assert len(await invitations(cast.stranger)) == 1


async def test_who_has_just_left_is_invited_and_not_put_back(cast: Cast) -> None:
    """The project was read before they left, as by a request that came at the same moment."""
    project = await new_project(cast.owner)
    await invite(cast.owner, project, cast.stranger.id)
    await accept(cast.stranger, project)
    as_read = await Project.find_by_id(ObjectId(project))
    assert as_read is not None
    assert (
        await cast.stranger.delete(f"/v1/projects/{project}/members/{cast.stranger.id}")
    ).status_code == 204
    owner = Principal("user", ObjectId(cast.owner.id))
    placed = await place_member(owner, as_read, ObjectId(cast.stranger.id), "admin")
    assert placed.status == 202
    assert await members(cast, project) == [(cast.owner.id, "admin")]
