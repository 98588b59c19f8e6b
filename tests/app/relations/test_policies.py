"""Every policy, on a small world of its own: what goes, what stays, what forbids it, at once and by
sweeps."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from app.database import transaction
from app.errors import BadReference, NotFound, Restricted
from app.relations.delete import delete_root, sweep_again
from app.relations.guards import check_references
from app.relations.hooks import NO_HOOKS
from app.relations.plan import collect
from app.relations.sweep import sweep
from app.settings import Settings
from models.base import Stored
from models.deletion import Deletion
from models.job import Job
from models.living import is_living
from tests.app.relations import toys
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
from tests.factories.policies import add, world

SMALL, LARGE = 500, 1


@pytest.fixture(autouse=True)
async def _toys(database: AsyncDatabase[Any]) -> None:
    await bind_toys(database)


@pytest.fixture(params=[SMALL, LARGE], ids=["at once", "by sweeps"])
def settings(request: pytest.FixtureRequest, base_settings: Settings) -> Settings:
    """Whether the tree goes in the committing transaction or by the sweep, the outcome is the
    same."""
    return base_settings.model_copy(
        update={"deletion_small_tree": request.param, "deletion_inline_seconds": 30}
    )


async def delete(document: type[Stored], root_id: ObjectId, settings: Settings) -> Deletion:
    return await delete_root(document, root_id, "test", settings, NO_HOOKS, relations=RELATIONS)


async def count(document: type[Stored]) -> int:
    return await document.raw().count_documents({})


async def test_set_null_takes_the_reference_and_sets_the_companion(settings: Settings) -> None:
    _, persons, _ = await world()
    ledger = await delete(Person, persons[0], settings)
    assert ledger.deleted == {"toypersons": 1, "toynotes": 2}
    assert ledger.nulled == {"toykeys": 1, "toyclubs": 1}
    keys = await Key.raw().find({"status": "orphaned"}).to_list()
    assert [("personId" in key, key["version"]) for key in keys] == [(False, 2)]
    assert await Key.raw().count_documents({"personId": persons[1]}) == 1


async def test_set_null_of_many_leaves_everything_else_of_them(settings: Settings) -> None:
    _, _, group = await world(people=7)
    ledger = await delete(Group, group, settings)
    assert (ledger.deleted, ledger.nulled) == ({"toygroups": 1}, {"toykeys": 7})
    assert await Key.raw().count_documents({"groupId": {"$exists": True}}) == 0
    assert await Key.raw().count_documents({"status": "closed", "version": 2}) == 7


async def test_pull_takes_the_membership_and_leaves_the_others(settings: Settings) -> None:
    _, persons, _ = await world()
    await delete(Person, persons[1], settings)
    club = await Club.raw().find_one({})
    assert club is not None
    members = [member["personId"] for member in club["members"]]
    assert (len(members), persons[1] in members, club["version"]) == (3, False, 2)


@pytest.mark.parametrize("restricting", ["key", "pin"])
async def test_restrict_leaves_everything_as_it_was_and_names_who_is_in_the_way(
    settings: Settings, database: AsyncDatabase[Any], restricting: str
) -> None:
    town, persons, _ = await world()
    child: Stored = Key(town_id=town, person_id=persons[0])
    if restricting == "pin":
        child = Pin(town_id=town, person_id=persons[0])
    blocker = await add(child)
    names = [document.collection_name() for document in (*toys.TOYS, Deletion, Job)]
    before = {name: await database[name].find().sort("_id", 1).to_list() for name in names}
    with pytest.raises(Restricted) as refused:
        await delete(Person, persons[0], settings)
    assert refused.value.extra["blockers"][0]["ids"] == [str(blocker)]
    assert str(blocker) in str(refused.value.detail)
    assert {name: await database[name].find().sort("_id", 1).to_list() for name in names} == before


async def test_a_restriction_that_is_lifted_no_longer_blocks(settings: Settings) -> None:
    town, persons, _ = await world()
    blocker = await add(Key(town_id=town, person_id=persons[0]))
    await Key.change({"_id": blocker}, {"status": "closed"})
    assert (await delete(Person, persons[0], settings)).nulled == {"toykeys": 2, "toyclubs": 1}


async def test_the_diamond_goes_whole_and_counts_each_document_once(settings: Settings) -> None:
    """Town to person to key, and town to key: what restricts and what is nulled elsewhere goes
    here."""
    town, persons, _ = await world()
    await Pin(town_id=town, person_id=persons[0]).add()
    await Key(town_id=town, person_id=persons[1]).add()
    plan = await collect(Town, town, relations=RELATIONS)
    ledger = await delete(Town, town, settings)
    gone = {
        "toytowns": 1,
        "toypersons": 3,
        "toygroups": 1,
        "toykeys": 4,
        "toypins": 1,
        "toynotes": 6,
    }
    assert (ledger.deleted, ledger.nulled) == (gone, {"toyclubs": 1})
    assert ({name: number for name, number in plan.delete.items() if number}, plan.blockers) == (
        gone,
        [],
    )
    assert {document.__name__: await count(document) for document in toys.TOYS} == {
        "Town": 1, "Person": 1, "Group": 0, "Key": 1, "Pin": 0, "Note": 1, "Club": 1,
    }  # fmt: skip


async def test_a_cycle_of_references_ends(settings: Settings) -> None:
    town = await add(Town())
    persons = [await add(Person(town_id=town)) for _ in range(4)]
    for person, keeper in zip(persons, persons[1:] + persons[:1], strict=True):
        await Person.change({"_id": person}, {"keeperId": keeper})
        await Note(person_id=person).add()
    plan = await collect(Person, persons[0], relations=RELATIONS)
    ledger = await delete(Person, persons[0], settings)
    assert ledger.deleted == {"toypersons": 4, "toynotes": 4}
    assert plan.delete == {"toypersons": 4, "toynotes": 4}
    assert await is_living(Person, {"_id": persons[0], "townId": town}, relations=RELATIONS)


async def test_plan_says_what_a_deletion_then_does(settings: Settings) -> None:
    _, persons, _ = await world()
    plan = await collect(Person, persons[2], relations=RELATIONS)
    ledger = await delete(Person, persons[2], settings)
    assert ({name: n for name, n in plan.delete.items() if n}, plan.nulled) == (
        ledger.deleted,
        ledger.nulled,
    )


async def test_each_parent_of_a_large_tree_is_in_the_ledger_and_swept_later(
    settings: Settings,
) -> None:
    town, persons, _ = await world()
    await delete(Town, town, settings)
    entries = {row["_id"]: row async for row in Deletion.raw().find({"of": town})}
    assert set(persons) <= set(entries)
    assert {row["stage"] for row in entries.values()} == {
        "done"
    } or settings.deletion_small_tree == SMALL
    await Note(person_id=persons[0]).add()  # as a lease of five seconds ago lets through
    root = await Deletion.find_by_id(town)
    assert root is not None
    subs = [Deletion.from_stored(row) for row in entries.values() if row["root"] == "toypersons"]
    assert await sweep_again(subs, settings, NO_HOOKS, RELATIONS) == 1
    root = await Deletion.find_by_id(town)
    assert root is not None
    assert (root.deleted["toynotes"], root.final) == (7, False)
    assert await count(Note) == 1


async def test_receipt_waits_for_what_came_with_the_root(settings: Settings) -> None:
    town, _, _ = await world()
    await delete(Town, town, settings)
    root = await Deletion.find_by_id(town)
    assert root is not None
    await sweep_again([root], settings, NO_HOOKS, RELATIONS)
    assert not (await Deletion.find_by_id(town) or root).final
    for name in ("toypersons", "toygroups"):
        rows = await Deletion.raw().find({"of": town, "root": name}).to_list()
        await sweep_again(
            [Deletion.from_stored(row) for row in rows], settings, NO_HOOKS, RELATIONS
        )
    await sweep_again([root], settings, NO_HOOKS, RELATIONS)
    assert (await Deletion.find_by_id(town) or root).final


async def test_a_sweep_that_is_cut_short_at_any_point_is_gone_on_with(
    base_settings: Settings,
) -> None:
    """Every batch meets the deadline; the counts are those of one that went through."""
    settings = base_settings.model_copy(
        update={"deletion_small_tree": LARGE, "deletion_inline_seconds": 0}
    )
    town, _, _ = await world(people=5)
    ledger = await delete(Town, town, settings)
    rounds = 0
    while not ledger.swept:
        rounds += 1
        await sweep(ledger, NO_HOOKS, deadline=0, relations=RELATIONS)
        ledger = await Deletion.find_by_id(town) or ledger
    assert rounds > 5
    gone = {"toytowns": 1, "toypersons": 5, "toygroups": 1, "toykeys": 5, "toynotes": 10}
    assert (ledger.deleted, ledger.nulled) == (gone, {"toyclubs": 1})


async def test_between_commit_and_sweep_nothing_below_the_root_lives(
    base_settings: Settings,
) -> None:
    settings = base_settings.model_copy(
        update={"deletion_small_tree": LARGE, "deletion_inline_seconds": 0}
    )
    town, persons, _ = await world(people=120)
    await delete(Town, town, settings)
    row = await Person.raw().find_one({"_id": {"$in": persons}})
    assert row is not None, "swept already, so this test shows nothing"
    assert not await is_living(Person, row, relations=RELATIONS)


async def write(document: Stored, *, only: set[str] | None = None) -> None:
    row = document.stored() | {"_id": ObjectId()}

    async def work(session: AsyncClientSession) -> None:
        await check_references(type(document), row, session, only=only, relations=RELATIONS)
        await type(document).raw().insert_one(row, session=session)

    await transaction(work)


async def test_a_reference_to_another_tenants_document_is_refused_and_nothing_is_written() -> None:
    town, _, group = await world()
    stranger = await Person.raw().find_one({"townId": {"$ne": town}})
    assert stranger is not None
    before = await count(Key)
    with pytest.raises(BadReference, match="the person is not of this town") as refused:
        await write(Key(town_id=town, person_id=stranger["_id"], group_id=group))
    assert refused.value.errors[0]["pointer"] == "/personId"
    with pytest.raises(NotFound):
        await write(Key(town_id=ObjectId()))
    assert await count(Key) == before


async def test_references_are_counted_up_and_move_no_version() -> None:
    town, persons, group = await world()
    await write(Key(town_id=town, person_id=persons[0], group_id=group))
    await write(Key(town_id=town, person_id=persons[0]), only={"personId"})
    rows = [await document.raw().find_one({"_id": each}) for document, each in
            ((Town, town), (Person, persons[0]), (Group, group))]  # fmt: skip
    assert [(row["guard"], row["version"]) for row in rows if row] == [(1, 1), (2, 1), (1, 1)]
