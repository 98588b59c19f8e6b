"""Toys of every policy, and what is there of them."""

from bson import ObjectId

from models.base import Stored
from tests.app.relations.toys import (
    Club,
    Group,
    Key,
    Member,
    Note,
    Person,
    Town,
)


async def add(document: Stored) -> ObjectId:
    await document.add()
    assert document.id is not None
    return document.id


async def world(*, people: int = 3) -> tuple[ObjectId, list[ObjectId], ObjectId]:
    """A town of people with a key each, all of one group; two notes each; and another town with one
    of everything."""
    town, elsewhere = await add(Town()), await add(Town())
    group = await add(Group(town_id=town))
    persons = [await add(Person(town_id=town)) for _ in range(people)]
    for person in persons:
        await Key(town_id=town, person_id=person, group_id=group, status="closed").add()
        await Note(person_id=person).add()
        await Note(person_id=person).add()
    stranger = await add(Person(town_id=elsewhere))
    await Key(town_id=elsewhere, person_id=stranger).add()
    await Note(person_id=stranger).add()
    await Club(members=[Member(person_id=person) for person in (*persons, stranger)]).add()
    return town, persons, group
