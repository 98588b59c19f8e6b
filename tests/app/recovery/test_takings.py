"""What was taken away after a backup does not come back with it, kind by kind."""

from typing import get_args

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.ledger import write_out
from app.recovery.restored import finish_restore
from app.recovery.takings import TAKINGS
from app.work import HOOKS
from models import LedgerNote, Project, User
from models.base import Raw
from models.card import Card
from models.ledger_note import What
from tests.app.recovery.acts import (
    CASES,
    FEWER,
    GRANTS,
    Scene,
    of,
    ok,
    owner_id,
    owner_path,
    patched,
    project_of_two,
)
from tests.app.recovery.conftest import Snapshot
from tests.cast import Cast, Programme
from tests.factories.invitations import invite
from tests.harness import Api


def test_every_kind_of_taking_has_a_way_to_be_done_again_and_a_case() -> None:
    assert set(get_args(What)) == set(TAKINGS) == set(CASES)


@pytest.fixture
async def scene(api: Api, cast: Cast, programme: Programme) -> Scene:
    return Scene(api, cast, programme)


@pytest.mark.parametrize("what", CASES)
async def test_what_was_taken_stays_taken(
    what: What, scene: Scene, database: AsyncDatabase[Raw]
) -> None:
    case = CASES[what]
    await case.before(scene)
    there, taken = await case.left(scene), await Snapshot(database).take()
    await case.act(scene)
    gone = await case.left(scene)
    assert gone != there
    await write_out(scene.api.settings)
    await taken.put_back()
    assert await case.left(scene) == there
    report = await finish_restore(scene.api.settings, HOOKS)
    assert (report.is_sound, await case.left(scene)) == (True, gone)
    assert report.counts[TAKINGS[what][1]] == 1
    again = await finish_restore(scene.api.settings, HOOKS)
    assert again.counts.get(TAKINGS[what][1], 0) == 0, "a repeat finds nothing to take"


@pytest.mark.parametrize("what", [what for what, case in CASES.items() if case.back])
async def test_what_was_given_back_before_the_backup_is_kept(what: What, scene: Scene) -> None:
    case = CASES[what]
    assert case.back is not None
    for step in (case.before, case.act, case.back):
        await step(scene)
    there = await case.left(scene)
    await write_out(scene.api.settings)
    await finish_restore(scene.api.settings, HOOKS)
    assert await case.left(scene) == there


async def test_who_was_made_a_plain_member_is_no_admin_again(
    scene: Scene, database: AsyncDatabase[Raw]
) -> None:
    await project_of_two(scene)
    taken = await Snapshot(database).take()
    ok(await invite(scene.cast.owner, scene.made["project"], scene.cast.stranger.id, "member"))
    await write_out(scene.api.settings)
    await taken.put_back()
    await finish_restore(scene.api.settings, HOOKS)
    found = await Project.find_by_id(ObjectId(scene.made["project"]))
    assert found is not None
    roles = [found.role_of(ObjectId(each.id)) for each in (scene.cast.owner, scene.cast.stranger)]
    assert roles == ["admin", "member"]


async def test_an_import_takes_as_a_patch_does(scene: Scene, database: AsyncDatabase[Raw]) -> None:
    path = "/v1/users/by/email/owner%40example.com"
    ok(await scene.cast.admin.put(path, json={"user": {"roles": ["user", "editor"]}}))
    taken = await Snapshot(database).take()
    ok(await scene.cast.admin.put(path, json={"user": {"roles": ["user"], "status": "inactive"}}))
    await write_out(scene.api.settings)
    await taken.put_back()
    await finish_restore(scene.api.settings, HOOKS)
    left = await of(User, owner_id, "roles", "status")(scene)
    assert left == {"roles": ["user"], "status": "inactive"}


async def test_who_has_cards_of_then_stays_in_the_account_that_they_had_left(
    scene: Scene, database: AsyncDatabase[Raw]
) -> None:
    """It would be a card of somebody who is not of its account."""
    holder = ObjectId(scene.programme.holder.id)
    taken = await Snapshot(database).take()
    await Card.raw().delete_many({"userId": holder})
    await patched(scene, f"/v1/users/{holder}", accountId=None)
    await write_out(scene.api.settings)
    await taken.put_back()
    report = await finish_restore(scene.api.settings, HOOKS)
    assert (report.is_sound, report.counts.get(TAKINGS["user"][1], 0)) == (True, 0)


async def test_a_note_names_ids_and_states_alone(scene: Scene) -> None:
    await patched(scene, owner_path(scene), **GRANTS)
    await patched(scene, owner_path(scene), **FEWER)
    [note] = await LedgerNote.raw().find({"what": "grants"}).to_list()
    assert note["detail"] == {"roles": ["editor"], "permissions": ["x:write"], "role": "brand"}
