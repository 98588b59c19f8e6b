"""Numbers for people: dense, never used again, and given only to those who are there."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from models.base import Raw, now, parse_id
from models.person import Person, PersonMerge, person_key
from models.user import User


@dataclass(slots=True)
class Numbered:
    """People with their numbers.

    Attributes:
        numbers: key -> number; the key of a user who is gone has none.
        users: key of an anonymous or external id -> the user whom it turned out to be.
        following: the next free number.
    """

    numbers: dict[str, int]
    users: dict[str, ObjectId]
    following: int
    fresh: list[Raw] = field(default_factory=list)


async def known_people(keys: Iterable[str], session: AsyncClientSession | None) -> Numbered:
    """The numbers that these keys have, without giving new ones."""
    rows = await Person.find_by_keys(set(keys), session)
    users = {
        key: row["userId"]
        for key, row in rows.items()
        if row.get("userId") is not None and not key.startswith("u:")
    }
    return Numbered({key: row["number"] for key, row in rows.items()}, users, 0)


async def persons_of(
    rows: Iterable[Raw], session: AsyncClientSession | None
) -> dict[str, int | str]:
    """Who the people of events are: key -> the number that they are counted as; of whom there is
    none, the key itself.

    Keys that turned out to be one person have one number.
    """
    keys = {key for row in rows if (key := person_key(row)) is not None}
    known = await known_people(keys, session)
    merges = await PersonMerge.pending(session)
    persons: dict[str, int | str] = {}
    for key in keys:
        number = known.numbers.get(key)
        persons[key] = key if number is None else merges.get(number, number)
    return persons


async def number_people(
    keys: Iterable[str], following: int, session: AsyncClientSession
) -> Numbered:
    """The numbers of these keys, new ones for those that have none; stored in the caller's
    transaction.

    A new key of a user counts up the user's guard, so that the user is not deleted at the same time
    unnoticed.
    """
    wanted = set(keys)
    found = await known_people(wanted, session)
    new = wanted - found.numbers.keys()
    users = {
        key: user for key in new if key.startswith("u:") and (user := parse_id(key[2:])) is not None
    }
    living = await guard_users(users.values(), session)
    moment = now()
    for key in sorted(new):
        row: Raw = {
            "_id": key,
            "number": following,
            "createdAt": moment,
            "updatedAt": moment,
            "version": 1,
        }
        if key in users:
            if users[key] not in living:
                continue
            row["userId"] = users[key]
        found.fresh.append(row)
        found.numbers[key] = following
        following += 1
    if found.fresh:
        await Person.raw().insert_many(found.fresh, ordered=False, session=session)
    found.following = following
    return found


async def guard_users(users: Iterable[ObjectId], session: AsyncClientSession) -> set[ObjectId]:
    """Those of these users who are there, their guards counted up (docs/guarantees.md,
    Deletion)."""
    wanted = list(set(users))
    if not wanted:
        return set()
    cursor = User.raw().find({"_id": {"$in": wanted}}, {"_id": 1}, session=session)
    living = {row["_id"] async for row in cursor}
    if living:
        await User.raw().update_many(
            {"_id": {"$in": list(living)}}, {"$inc": {"guard": 1}}, session=session
        )
    return living
