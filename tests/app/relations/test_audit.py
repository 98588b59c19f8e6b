"""The audit finds exactly the faults that were planted, and repairs them as the policies say."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.relations import audit
from app.relations.audit import Kind, check, faults_of, remedy, repair
from app.relations.delete import delete_root
from app.relations.hooks import NO_HOOKS
from app.settings import Settings
from models.deletion import Deletion
from models.integrity import IntegrityScan
from tests.app.relations.toys import (
    RELATIONS,
    Club,
    Group,
    Key,
    Note,
    Person,
    Pin,
    Town,
    bind_toys,
)
from tests.factories.faults import plant
from tests.factories.policies import add, world


@pytest.fixture(autouse=True)
async def _toys(database: AsyncDatabase[Any]) -> None:
    await bind_toys(database)


async def found() -> dict[str, tuple[int, int]]:
    scans = await check(relations=RELATIONS)
    return {
        scan.id: (scan.orphans, scan.mismatches)
        for scan in scans
        if scan.orphans or scan.mismatches
    }


async def mend() -> int:
    return sum(
        [
            await repair(faults, "test", NO_HOOKS, relations=RELATIONS)
            for relation in RELATIONS
            async for faults in faults_of(relation)
        ]
    )


async def test_a_sound_database_has_no_faults() -> None:
    await world()
    assert await found() == {}
    assert await mend() == 0


async def test_exactly_the_planted_faults_are_found_and_repaired() -> None:
    planted = await plant()
    assert await found() == planted
    assert await mend() == 8
    assert await found() == {}
    assert await Note.raw().count_documents({}) == 9
    assert await Person.raw().count_documents({}) == 5
    rows = await Key.raw().find({"status": "orphaned"}).to_list()
    assert ["personId" in row for row in rows] == [False, False]
    assert await Key.raw().count_documents({"groupId": {"$exists": False}, "status": "open"}) == 3
    assert await Club.raw().count_documents({"members": {"$size": 1}}) == 1


async def test_samples_name_the_faults() -> None:
    await plant()
    note = await Note.raw().find_one({"personId": {"$nin": await Person.raw().distinct("_id")}})
    assert note is not None
    await check(relations=RELATIONS)
    scan = next(
        scan for scan in await IntegrityScan.find_all_scans() if scan.id == "toynotes.personId"
    )
    assert scan.samples == [
        {"kind": "orphan", "id": str(note["_id"]), "parentId": str(note["personId"])}
    ]
    assert (scan.state, scan.scanned) == ("done", 11)


async def test_what_no_policy_mends_is_left() -> None:
    town = await add(Town())
    await Pin(town_id=town, person_id=ObjectId()).add()
    relation = next(each for each in RELATIONS if each.label == "toypins.personId")
    (faults,) = [batch async for batch in faults_of(relation)]
    assert [remedy(fault) for fault in faults] == [""]
    assert await repair(faults, "test", NO_HOOKS, relations=RELATIONS) == 0
    assert await Pin.raw().count_documents({}) == 1


async def test_what_a_sweep_will_take_is_no_fault(base_settings: Settings) -> None:
    settings = base_settings.model_copy(
        update={"deletion_small_tree": 1, "deletion_inline_seconds": 0}
    )
    town, persons, _ = await world(people=120)
    await delete_root(Town, town, "test", settings, NO_HOOKS, relations=RELATIONS)
    scans = {scan.id: scan for scan in await check(relations=RELATIONS)}
    assert scans["toypersons.townId"].pending > 0
    assert sum(scan.orphans for scan in scans.values()) == 0
    assert await Deletion.raw().count_documents({"_id": {"$in": persons}}) > 0


async def test_a_check_that_was_cut_short_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await plant()
    monkeypatch.setattr(audit, "BATCH", 3)
    seen: list[str] = []

    def cut(relation: Any, count: int) -> None:
        seen.append(relation.label)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await check(progress=cut, relations=RELATIONS)
    label = seen[-1]
    running = await IntegrityScan.raw().find_one({"_id": label})
    assert running is not None
    assert (running["state"], running["scanned"] > 0) == ("running", True)
    scans = {scan.id: scan for scan in await check(relations=RELATIONS)}
    collections = {relation.label: relation.child for relation in RELATIONS}
    assert scans[label].scanned == await collections[label].raw().count_documents({})
    assert (scans["toykeys.groupId"].orphans, scans["toykeys.groupId"].mismatches) == (1, 1)


async def test_repair_does_not_touch_what_was_mended_meanwhile() -> None:
    await plant()
    relation = next(each for each in RELATIONS if each.label == "toykeys.groupId")
    (faults,) = [batch async for batch in faults_of(relation)]
    group = await Group.raw().find_one({})
    assert group is not None
    for fault in faults:
        mended = (
            {"$unset": {"groupId": ""}}
            if fault.kind is Kind.MISMATCH
            else {"$set": {"groupId": group["_id"]}}
        )
        await Key.raw().update_one({"_id": fault.child_id}, mended)
    assert await repair(faults, "test", NO_HOOKS, relations=RELATIONS) == 0
    assert await Key.raw().count_documents({"groupId": group["_id"]}) == 6
