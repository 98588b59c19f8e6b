"""References that are wrong, as the audit finds them."""

from bson import ObjectId

from tests.app.relations.toys import (
    Club,
    Key,
    Member,
    Note,
    Person,
    Town,
)
from tests.factories.policies import add, world


async def plant() -> dict[str, tuple[int, int]]:
    """A fault of every kind, among what is right."""
    town, persons, group = await world(people=4)
    elsewhere = await Town.raw().find_one({"_id": {"$ne": town}})
    stranger = await Person.raw().find_one({"townId": {"$ne": town}})
    assert elsewhere is not None
    assert stranger is not None
    await Note(person_id=ObjectId()).add()
    lost = await add(Person(town_id=ObjectId()))
    await Note(person_id=lost).add()
    await Key(town_id=town, person_id=ObjectId(), group_id=group, status="open").add()
    await Key(town_id=town, person_id=persons[0], group_id=ObjectId(), status="open").add()
    await Key(town_id=town, person_id=stranger["_id"], status="closed").add()
    await Key(
        town_id=elsewhere["_id"], person_id=stranger["_id"], group_id=group, status="open"
    ).add()
    await Club(members=[Member(person_id=persons[1]), Member(person_id=ObjectId())]).add()
    return {
        "toynotes.personId": (1, 0),
        "toypersons.townId": (1, 0),
        "toykeys.personId": (1, 1),
        "toykeys.groupId": (1, 1),
        "toyclubs.members.personId": (1, 0),
    }
