"""Two people who turn out to be one, in analytics: one number, which every bitmap comes to say."""

from collections.abc import Sequence
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.analytics.rollup.joins import give_number, merge_numbers
from app.relations.hooks import Carried, Merge
from models.base import Raw, now
from models.person import IdentityJoin, Person
from models.rollup_state import RollupState

_NOT_YET: Final[Raw] = {"state": None}


async def move_people(_: Sequence[Raw], merge: Merge, session: AsyncClientSession) -> Carried:
    """Both have one number from now on; events of the source that are not counted yet are counted
    as it, too.

    The bitmaps of days follow as they do when an app says that an id is a person's.
    """
    await RollupState.ensure()
    await RollupState.touch(session)  # the worker gives numbers, too
    mine = await _people_of(merge.source, session)
    theirs = await _people_of(merge.target, session)
    number = await _number_of(merge, mine, theirs, session)
    for former in {row["number"] for row in mine} - {number}:
        await merge_numbers(former, number, session)
    where = {"userId": merge.source}
    done = await Person.raw().update_many(
        where, {"$set": {"userId": merge.target, "updatedAt": now()}}, session=session
    )
    for user_id in (merge.source, merge.target):
        await give_number(f"u:{user_id}", number, merge.target, session)
    return Carried(moved=done.modified_count)


async def _people_of(user_id: ObjectId, session: AsyncClientSession) -> list[Raw]:
    return await Person.raw().find({"userId": user_id}, session=session).to_list()


async def _number_of(
    merge: Merge, mine: list[Raw], theirs: list[Raw], session: AsyncClientSession
) -> int:
    """The target's number, else the source's, else a new one."""
    own = sorted(theirs, key=lambda row: row["_id"] != f"u:{merge.target}")
    known = [*own, *mine]
    return int(known[0]["number"]) if known else await RollupState.take_number(session)


async def move_joins(rows: Sequence[Raw], merge: Merge, session: AsyncClientSession) -> Carried:
    """What was joined to the source is joined to the target; what the worker found nobody for is
    due again."""
    where: Raw = {"_id": {"$in": [row["_id"] for row in rows]}, "userId": merge.source}
    fields: dict[str, Any] = {"userId": merge.target, "updatedAt": now()}
    again = await IdentityJoin.raw().update_many(
        {**where, **_NOT_YET}, {"$set": {**fields, "due": True}}, session=session
    )
    done = await IdentityJoin.raw().update_many(where, {"$set": fields}, session=session)
    return Carried(moved=again.modified_count + done.modified_count)
