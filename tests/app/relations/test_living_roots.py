"""Who lives though the ledger of deletions names them, after a restore, loses nothing."""

from typing import Any

import pytest
from bson import ObjectId
from prometheus_client import REGISTRY

from app.relations.delete import sweep_again
from app.relations.living_roots import LABEL, check_living
from app.relations.sweep import sweep
from app.work import HOOKS
from models import Deletion, Preferences, Profile, User
from models.base import now
from models.integrity import IntegrityScan
from tests.cast import Cast
from tests.factories.deletions import add_activities, ledger_of, orphans_of
from tests.harness import Api

RESTORED = ((User, "_id"), (Profile, "userId"), (Preferences, "userId"))


def met() -> float:
    return REGISTRY.get_sample_value("satchel_living_roots_total", {"collection": "users"}) or 0


async def bring_back(cast: Cast) -> ObjectId:
    """Delete the owner, and restore them with what a backup has of them."""
    owner = ObjectId(cast.owner.id)
    rows: dict[Any, Any] = {
        each: await each.raw().find({field: owner}).to_list() for each, field in RESTORED
    }
    assert (await cast.owner.delete("/v1/users/me")).status_code == 200
    for document, found in rows.items():
        await document.raw().insert_many(found)
    return owner


@pytest.fixture
async def zombie(cast: Cast) -> ObjectId:
    """The owner, deleted and restored, with a write that was acknowledged since."""
    owner = await bring_back(cast)
    path = f"/v1/users/{owner}/apps/notes/data/k"
    assert (await cast.admin.put(path, json="precious")).status_code == 201
    return owner


async def test_no_sweep_takes_what_a_living_root_has(
    api: Api, cast: Cast, zombie: ObjectId
) -> None:
    before = met()
    assert await sweep_again([await ledger_of(zombie)], api.settings, HOOKS) == 0
    value = await cast.admin.get(f"/v1/users/{zombie}/apps/notes/data/k")
    assert (value.status_code, value.json()) == (200, "precious")
    assert (await cast.admin.get(f"/v1/users/{zombie}/profile")).status_code == 200
    assert met() > before
    entry = await ledger_of(zombie)
    assert not entry.final
    assert entry.next_sweep_at is not None
    assert (entry.next_sweep_at - now()).total_seconds() > 3600, "it is told of again in a day"


async def test_a_sweep_under_way_ends_without_it(zombie: ObjectId) -> None:
    await Deletion.begin_again(zombie)
    assert await sweep(await ledger_of(zombie), HOOKS) == 0
    assert (await ledger_of(zombie)).swept, "or its job would go on for ever"
    assert (await orphans_of(zombie))["appdata"] == 1


async def test_others_of_the_same_batch_are_swept(api: Api, cast: Cast, zombie: ObjectId) -> None:
    gone = ObjectId(cast.stranger.id)
    await cast.stranger.delete("/v1/users/me")
    await add_activities(gone, 3)
    await add_activities(zombie, 3)
    entries = [await ledger_of(zombie), await ledger_of(gone)]
    assert await sweep_again(entries, api.settings, HOOKS) == 3
    assert await orphans_of(gone) == {}
    assert (await orphans_of(zombie))["activities"] == 3


async def test_the_integrity_check_names_it(zombie: ObjectId) -> None:
    scan = await check_living()
    assert (scan.scanned, scan.living) == (1, 1)
    assert scan.samples == [{"kind": "living", "id": str(zombie), "root": "users"}]
    assert LABEL in [each.id for each in await IntegrityScan.find_all_scans()]


async def test_the_check_finds_nothing_where_what_was_deleted_is_gone(cast: Cast) -> None:
    await cast.owner.delete("/v1/users/me")
    scan = await check_living()
    assert (scan.scanned, scan.living, scan.samples) == (1, 0, [])


async def test_it_can_be_deleted_again_and_is_swept_then(
    api: Api, cast: Cast, zombie: ObjectId
) -> None:
    answer = await cast.admin.delete(f"/v1/users/{zombie}")
    assert (answer.status_code, answer.json()["deleted"]["appdata"]) == (200, 1)
    await add_activities(zombie, 2)
    assert await sweep_again([await ledger_of(zombie)], api.settings, HOOKS) == 2
    assert await orphans_of(zombie) == {}
