"""Carrying out joins: an anonymous or external id turned out to be somebody, and so its events are
theirs."""

from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pyroaring import BitMap

from app.analytics.rollup.apply import packed_set, set_people
from app.analytics.rollup.people import guard_users
from app.database import transaction
from models.analytics import Analytics
from models.base import Raw, now
from models.day import PeopleDay
from models.person import IdentityJoin, Person, PersonMerge
from models.rollup_state import RollupState
from models.seal import Seal

MOST_IDS: Final = 100
_BATCH: Final = 1000
_DOCUMENTS: Final = 200


async def carry_out_joins(limit: int = 200, most: int = MOST_IDS) -> int:
    """Carry out the joins that are due: first the numbers, then the stored events, in batches.

    Args:
        limit: how many joins at most.
        most: so many ids are made one person without anybody's consent; a join to more is set
            aside.

    Returns:
        How many were done, or set aside.
    """
    rows = await IdentityJoin.raw().find({"due": True, "state": None}).limit(limit).to_list()
    if rows:
        await RollupState.ensure()
    for row in rows:
        join = IdentityJoin.from_stored(row)
        done: Raw = {"$unset": {"due": ""}, "$set": {"updatedAt": now()}}
        if await transaction(lambda session, join=join: _join_numbers(join, session, most)):  # type: ignore[misc]
            while await transaction(lambda session, join=join: _give_events(join, session)):  # type: ignore[misc]
                continue
            done["$set"]["state"] = "joined"
        await IdentityJoin.raw().update_one(join.as_read, done)
    return len(rows)


async def _join_numbers(join: IdentityJoin, session: AsyncClientSession, most: int) -> bool:
    """Give both keys one number. False where there is none to give: the user is gone, or the key is
    a user's already.

    Where only one of them was seen so far, that one's number serves both, and no bitmap changes. A
    join that nobody has accepted, and that would give more than so many ids one number, is set
    aside.
    """
    if not await _is_due(join, session):
        return False
    if join.user_id is not None and not await guard_users([join.user_id], session):
        return False
    await RollupState.touch(session)  # the worker gives numbers, too
    await Seal.touch(join.app_id, session)  # and a restore looks who is known
    found = await Person.find_by_keys([join.id, join.target], session)
    source, target = found.get(join.id, {}), found.get(join.target, {})
    user_id = join.user_id or target.get("userId")
    if source.get("userId") not in (None, user_id):
        return False
    if not join.accepted and (ids := await _ids_of_both(source, target, session)) > most:
        aside = {
            "$set": {"state": "aside", "ids": ids, "updatedAt": now()},
            "$unset": {"due": ""},
            "$inc": {"version": 1},
        }
        await IdentityJoin.raw().update_one(join.as_read, aside, session=session)
        return False
    number = target.get("number", source.get("number"))
    if number is None:
        number = await RollupState.take_number(session)
    for key in (join.id, join.target):
        await give_number(key, number, user_id, session)
    if "number" in source and source["number"] != number:
        await merge_numbers(source["number"], number, session)
    if user_id is not None:
        everybody = {"number": number, "userId": None}
        await Person.raw().update_many(everybody, {"$set": {"userId": user_id}}, session=session)
    return True


async def _ids_of_both(source: Raw, target: Raw, session: AsyncClientSession) -> int:
    """How many ids would have one number: those that have one of the two now, and a key that has
    none yet."""
    numbers = list({row["number"] for row in (source, target) if row})
    known = (
        await Person.raw().count_documents({"number": {"$in": numbers}}, session=session)
        if numbers
        else 0
    )
    return known + sum(not row for row in (source, target))


async def _is_due(join: IdentityJoin, session: AsyncClientSession) -> bool:
    """Whether a join is still to be carried out as it was read: no other did, and nothing new was
    said."""
    return await IdentityJoin.raw().find_one(join.as_read, {"_id": 1}, session=session) is not None


async def give_number(key: str, number: int, user_id: object, session: AsyncClientSession) -> None:
    """Have a key known by a number, as a user's where one is told."""
    moment = now()
    fields: Raw = {"number": number, "updatedAt": moment} | (
        {"userId": user_id} if user_id is not None else {}
    )
    fresh = {"$setOnInsert": {"createdAt": moment}, "$inc": {"version": 1}}
    await Person.raw().update_one(
        {"_id": key}, {"$set": fields, **fresh}, upsert=True, session=session
    )


async def merge_numbers(former: int, number: int, session: AsyncClientSession) -> None:
    """Count everybody who has a former number as this one from now on, in the bitmaps too."""
    await Person.raw().update_many(
        {"number": former}, {"$set": {"number": number}}, session=session
    )
    merge: Raw = {"into": number, "createdAt": now(), "updatedAt": now(), "version": 1}
    await PersonMerge.raw().replace_one({"_id": former}, merge, upsert=True, session=session)


async def _give_events(join: IdentityJoin, session: AsyncClientSession) -> bool:
    """Give a batch of stored events to whom they belong. Returns whether there may be more."""
    if not await _is_due(join, session):
        return False
    target = (await Person.find_by_keys([join.target], session)).get(join.target, {})
    user_id = join.user_id or target.get("userId")
    if user_id is not None and not await guard_users([user_id], session):
        return False
    where = {**join.rows, "userId": None}
    ids = [
        row["_id"]
        async for row in Analytics.raw().find(where, {"_id": 1}, session=session).limit(_BATCH)
    ]
    if ids:
        fields = {"userId": user_id} if user_id is not None else {"externalId": join.external_id}
        update: Raw = {"$set": fields, "$addToSet": {"given": next(iter(fields))}}
        await Analytics.raw().update_many({"_id": {"$in": ids}}, update, session=session)
    return len(ids) == _BATCH


async def settle_merges(limit: int = 1_000_000) -> int:
    """Put the numbers that people are to be counted as into every bitmap, and forget the others.

    Returns:
        How many numbers were settled.
    """
    merges = await PersonMerge.pending()
    if not merges:
        return 0
    gone = BitMap(merges)
    last = ""
    for _ in range(0, limit, _DOCUMENTS):
        ids = [
            row["_id"]
            async for row in (
                PeopleDay.raw()
                .find({"_id": {"$gt": last}}, {"_id": 1})
                .sort("_id", 1)
                .limit(_DOCUMENTS)
            )
        ]
        if not ids:
            break
        await transaction(lambda session, ids=ids: _settle(ids, gone, merges, session))  # type: ignore[misc]
        last = ids[-1]
    numbers = list(merges)
    for start in range(0, len(numbers), _BATCH):
        await PersonMerge.raw().delete_many({"_id": {"$in": numbers[start : start + _BATCH]}})
    return len(merges)


async def _settle(
    ids: list[str], gone: BitMap, merges: dict[int, int], session: AsyncClientSession
) -> None:
    operations = []
    for name, row in (await PeopleDay.fetch(ids, session)).items():
        changed = {}
        for group, packed in row["sets"].items():
            bitmap = BitMap.deserialize(packed)
            if bitmap & gone:
                changed[group] = packed_set(merged(bitmap, gone, merges))
        if changed:
            operations.append(set_people(name, changed, now()))
    if operations:
        await PeopleDay.raw().bulk_write(operations, ordered=False, session=session)


def merged(bitmap: BitMap, gone: BitMap, merges: dict[int, int]) -> BitMap:
    """A set of people with everybody counted as whom they turned out to be."""
    found = bitmap & gone
    if not found:
        return bitmap
    return (bitmap - gone) | BitMap(merges[number] for number in found)
