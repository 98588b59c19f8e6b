"""Invitations into projects: pending they open nothing, the invited decide, and nobody learns by
them who is here."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from app.relations import audit
from models import Invitation, Project
from models.base import Raw, now
from models.relations import references_of
from tests.app.repositories.conftest import Forge
from tests.cast import Cast, Programme
from tests.factories.git_operations import RULES
from tests.factories.invitations import (
    NEVER,
    accept,
    invitations,
    invite,
    invited,
    members,
    new_project,
    without_what_differs,
)
from tests.harness import Api, Caller
from tests.outside.access import call

ROLES = pytest.mark.parametrize("role", ["member", "admin"])


async def decline(person: Caller, project: str) -> Any:
    return await person.delete(f"/v1/users/me/invitations/{project}")


@ROLES
async def test_who_accepts_is_a_member_in_the_role_that_was_offered(cast: Cast, role: str) -> None:
    project = await new_project(cast.owner)
    answer = await invite(cast.owner, project, cast.stranger.id, role)
    assert (answer.status_code, set(answer.json())) == (
        202,
        {"userId", "role", "createdAt", "expiresAt"},
    )
    (seen,) = await invitations(cast.stranger)
    assert (seen["projectId"], seen["projectName"], seen["role"]) == (project, "Notes", role)
    accepted = await accept(cast.stranger, project)
    assert (accepted.status_code, accepted.json()["id"]) == (200, project)
    assert (
        accepted.headers["etag"]
        == (await cast.stranger.get(f"/v1/projects/{project}")).headers["etag"]
    )
    assert await members(cast, project) == [(cast.owner.id, "admin"), (cast.stranger.id, role)]
    assert (await invitations(cast.stranger), await invited(cast.owner, project)) == ([], [])


@pytest.mark.parametrize("route", [route for route in RULES if "{projectId}" in route])
async def test_an_invitation_opens_nothing(forge: Forge, route: str) -> None:
    assert (await forge.connect()).status_code == 201
    project, stranger = forge.project.rpartition("/")[2], forge.cast.stranger
    assert (await invite(forge.cast.owner, project, stranger.id, "admin")).status_code == 202
    before = await Project.raw().find_one({"_id": ObjectId(project)})
    event = (await forge.deliver()).json()["id"]
    places = {"projectId": project, "userId": stranger.id, "eventId": event}
    refused = await call(stranger, route, RULES[route], places)
    assert (refused.status_code, refused.json()["detail"]) == (404, "there is no such project")
    assert (await stranger.get("/v1/projects")).json()["items"] == []
    assert await Project.raw().find_one({"_id": ObjectId(project)}) == before


@ROLES
async def test_whether_an_id_is_anybodys_makes_no_difference(cast: Cast, role: str) -> None:
    project = await new_project(cast.owner)
    pairs = []
    for user_id in (cast.stranger.id, NEVER):
        path = f"/v1/projects/{project}/members/{user_id}"
        found = [await cast.owner.put(path, json={"role": role}) for _ in range(2)]
        found += [await cast.owner.get(path), await cast.owner.get(f"/v1/projects/{project}")]
        found += [
            await cast.owner.get(f"/v1/projects/{project}/invitations"),
            await cast.owner.delete(path),
        ]
        found += [
            await cast.owner.get(f"/v1/projects/{project}/invitations"),
            await cast.owner.delete(path),
        ]
        pairs.append([without_what_differs(answer, user_id) for answer in found])
    assert pairs[0] == pairs[1]
    assert [status for status, _, _ in pairs[0]] == [202, 202, 404, 200, 200, 204, 200, 404]


async def test_an_invitation_of_nobody_is_no_orphan_and_is_accepted_by_nobody(cast: Cast) -> None:
    project = await new_project(cast.owner)
    assert (await invite(cast.owner, project, NEVER)).status_code == 202
    for relation in references_of(Invitation):
        assert [faults async for faults in audit.faults_of(relation)] == []
    row = await Invitation.raw().find_one({})
    assert row is not None
    assert (row["invited"], "userId" in row) == (ObjectId(NEVER), False)


async def test_who_declines_is_invited_no_longer_and_may_be_again(cast: Cast) -> None:
    project = await new_project(cast.owner)
    await invite(cast.owner, project, cast.stranger.id)
    assert (await decline(cast.stranger, project)).status_code == 204
    assert (await decline(cast.stranger, project)).status_code == 404
    assert (await accept(cast.stranger, project)).status_code == 404
    assert (await invitations(cast.stranger), await invited(cast.owner, project)) == ([], [])
    assert (await invite(cast.owner, project, cast.stranger.id)).status_code == 202
    assert (await accept(cast.stranger, project)).status_code == 200


async def test_what_is_taken_back_is_accepted_no_longer(cast: Cast) -> None:
    project = await new_project(cast.owner)
    await invite(cast.owner, project, cast.stranger.id)
    assert (
        await cast.owner.delete(f"/v1/projects/{project}/members/{cast.stranger.id}")
    ).status_code == 204
    assert (await accept(cast.stranger, project)).status_code == 404
    assert await members(cast, project) == [(cast.owner.id, "admin")]


async def test_what_is_over_is_neither_shown_nor_accepted_nor_declined(cast: Cast) -> None:
    """TTL comes once a minute."""
    project = await new_project(cast.owner)
    await invite(cast.owner, project, cast.stranger.id)
    await Invitation.raw().update_one({}, {"$set": {"expiresAt": now() - timedelta(seconds=1)}})
    assert (await invitations(cast.stranger), await invited(cast.owner, project)) == ([], [])
    assert (await accept(cast.stranger, project)).status_code == 404
    assert (await decline(cast.stranger, project)).status_code == 404
    assert (
        await cast.owner.delete(f"/v1/projects/{project}/members/{cast.stranger.id}")
    ).status_code == 404
    assert (await invite(cast.owner, project, cast.stranger.id)).status_code == 202
    assert (await accept(cast.stranger, project)).status_code == 200


async def test_an_invitation_is_nobody_elses(cast: Cast, api: Api) -> None:
    project = await new_project(cast.owner)
    other = api.token((await cast.admin.post("/v1/users", json={})).json()["id"])
    await invite(cast.owner, project, cast.stranger.id)
    assert await invitations(other) == []
    assert (
        (await accept(other, project)).status_code
        == (await decline(other, project)).status_code
        == 404
    )
    assert (await cast.reader.get("/v1/users/me/invitations")).status_code == 403
    assert len(await invitations(cast.stranger)) == 1


@pytest.mark.parametrize("who", ["key", "admin user"])
async def test_keys_and_admins_make_members_at_once_of_who_is_there(
    cast: Cast, api: Api, who: str
) -> None:
    project = await new_project(cast.owner)
    caller = await api.key("projects:write")
    if who == "admin user":
        made = (await cast.admin.post("/v1/users", json={"role": "admin"})).json()["id"]
        caller = api.caller(
            (await cast.admin.post(f"/v1/users/{made}/sessions")).json()["accessToken"], made
        )
    await invite(cast.owner, project, cast.stranger.id, "admin")
    placed = await invite(caller, project, cast.stranger.id)
    assert (placed.status_code, placed.json()) == (
        201,
        {"userId": cast.stranger.id, "role": "member"},
    )
    assert await invitations(cast.stranger) == []  # what was offered before is offered no longer
    assert (await invite(caller, project, NEVER)).status_code == 404


async def test_users_of_one_account_make_each_other_members_at_once(
    cast: Cast, programme: Programme
) -> None:
    project = await new_project(programme.holder)
    placed = [
        await invite(programme.holder, project, each.id)
        for each in (programme.colleague, programme.outsider)
    ]
    assert [answer.status_code for answer in placed] == [201, 202]
    assert (await programme.colleague.get(f"/v1/projects/{project}")).status_code == 200
    assert (await programme.outsider.get(f"/v1/projects/{project}")).status_code == 404


async def test_two_who_are_of_no_account_are_no_colleagues(cast: Cast) -> None:
    project = await new_project(cast.owner)
    assert (await invite(cast.owner, project, cast.stranger.id)).status_code == 202


async def test_a_members_role_changes_at_once_and_who_was_there_before_stays(cast: Cast) -> None:
    """Members that were stored before there were invitations have accepted."""
    project = await new_project(cast.owner)
    old: Raw = {"userId": ObjectId(cast.stranger.id), "role": "member"}
    await Project.raw().update_one({"_id": ObjectId(project)}, {"$push": {"members": old}})
    assert (await cast.stranger.get(f"/v1/projects/{project}")).status_code == 200
    raised = await invite(cast.owner, project, cast.stranger.id, "admin")
    assert (raised.status_code, raised.json()["role"]) == (200, "admin")


async def test_a_repeat_renews_and_offers_what_was_said_last(cast: Cast) -> None:
    project = await new_project(cast.owner)
    first = (await invite(cast.owner, project, cast.stranger.id)).json()
    await Invitation.raw().update_one({}, {"$set": {"expiresAt": now() + timedelta(days=1)}})
    second = (await invite(cast.owner, project, cast.stranger.id, "admin")).json()
    assert (second["role"], second["createdAt"]) == ("admin", first["createdAt"])
    assert second["expiresAt"] >= first["expiresAt"]
    assert await Invitation.raw().count_documents({}) == 1


async def test_a_repeated_acceptance_is_answered_alike(cast: Cast) -> None:
    project = await new_project(cast.owner)
    await invite(cast.owner, project, cast.stranger.id)
    first, repeat = await accept(cast.stranger, project), await accept(cast.stranger, project)
    assert (first.status_code, repeat.status_code, repeat.json()) == (200, 200, first.json())


async def test_each_step_is_repeatable_by_its_idempotency_key(cast: Cast) -> None:
    project = await new_project(cast.owner)
    path = f"/v1/projects/{project}/members/{cast.stranger.id}"
    steps: list[tuple[Caller, str, str, dict[str, Any], int]] = [
        (cast.owner, "PUT", path, {"json": {"role": "member"}}, 202),
        (cast.stranger, "DELETE", f"/v1/users/me/invitations/{project}", {}, 204),
        (cast.owner, "PUT", path, {"json": {"role": "admin"}}, 202),
        (cast.stranger, "POST", f"/v1/users/me/invitations/{project}/accept", {}, 200),
    ]
    for number, (caller, method, place, options, status) in enumerate(steps):
        sent = {**options, "headers": {"Idempotency-Key": f"k-{number}"}}
        first, repeat = [await caller.request(method, place, **sent) for _ in range(2)]
        assert (first.status_code, repeat.status_code, repeat.content) == (
            status,
            status,
            first.content,
        )
    assert await members(cast, project) == [(cast.owner.id, "admin"), (cast.stranger.id, "admin")]


async def test_a_repeated_invitation_that_is_used_up_is_gone(cast: Cast) -> None:
    project = await new_project(cast.owner)
    path, key = f"/v1/projects/{project}/members/{cast.stranger.id}", {"Idempotency-Key": "k-1"}
    assert (await cast.owner.put(path, json={"role": "member"}, headers=key)).status_code == 202
    await accept(cast.stranger, project)
    repeat = await cast.owner.put(path, json={"role": "member"}, headers=key)
    assert (repeat.status_code, repeat.json()["code"]) == (404, "result_gone")


async def test_racing_acceptances_make_one_member(cast: Cast) -> None:
    project = await new_project(cast.owner)
    await invite(cast.owner, project, cast.stranger.id)
    answers = await asyncio.gather(*(accept(cast.stranger, project) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(await members(cast, project)) == 2


async def test_of_acceptance_refusal_and_withdrawal_one_happens(cast: Cast) -> None:
    for _ in range(8):
        project = await new_project(cast.owner)
        await invite(cast.owner, project, cast.stranger.id)
        withdrawal = cast.owner.delete(f"/v1/projects/{project}/members/{cast.stranger.id}")
        answers = await asyncio.gather(
            accept(cast.stranger, project), decline(cast.stranger, project), withdrawal
        )
        statuses = [answer.status_code for answer in answers]
        is_member = len(await members(cast, project)) == 2
        assert set(statuses) <= {200, 204, 404}
        assert is_member == (statuses[0] == 200 and statuses[2] != 204) or statuses[2] == 204
        assert await invitations(cast.stranger) == []
