"""Taking joins back: an id was joined to somebody whom it is not, and its raw events are its own
again.

First the id, with those that were joined to it, gets a number of its own; then the events that the
join gave away come back, in batches; at last the days that have them are counted anew. What is
archived stays as it was counted. Each part can be done again, so a worker that died leaves nothing
that the next one does not end.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession

from app.analytics.rollup.advance import MovedOnError
from app.analytics.rollup.recount import recount_day
from app.analytics.rollup.slots import DAY_MS, milliseconds
from app.database import transaction
from app.database.turns import Patience
from models.analytics import Analytics
from models.base import Raw, now
from models.person import IdentityJoin, Person, key_rows
from models.rollup_state import RollupState

UNDO: Final = "undo-joins"
_BATCH: Final = 1000
_DEEPEST: Final = 100

Progress = Callable[[], Awaitable[None]]


async def _silent() -> None:
    return


async def undo_joins(progress: Progress = _silent) -> int:
    """Take back every join that is to be. How many these were."""
    await RollupState.ensure()
    rows = await IdentityJoin.raw().find({"due": True, "state": "undoing"}).to_list()
    for row in rows:
        await _undo(IdentityJoin.from_stored(row), progress)
    return len(rows)


async def _undo(join: IdentityJoin, progress: Progress) -> None:
    keys = await transaction(lambda session: _part(join, session))
    for key in keys:
        while await transaction(lambda session, key=key: _take_back(join, key, session)):  # type: ignore[misc]
            await progress()
    for day in await _days_of(join, keys):
        await _recount(join.app_id, day)
        await progress()
    done = {
        "$unset": {"due": ""},
        "$set": {"state": "undone", "updatedAt": now()},
        "$inc": {"version": 1},
    }
    await IdentityJoin.raw().update_one(join.as_read, done)


async def _part(join: IdentityJoin, session: AsyncClientSession) -> list[str]:
    """Give the key, and those that were joined to it, a number of their own. Which these are; none
    where it is done."""
    if await IdentityJoin.raw().find_one(join.as_read, {"_id": 1}, session=session) is None:
        return []
    await RollupState.touch(session)  # the worker gives numbers, too
    keys = await _with_joined(join, session)
    update = {
        "$set": {"number": await RollupState.take_number(session), "updatedAt": now()},
        "$unset": {"userId": ""},
        "$inc": {"version": 1},
    }
    await Person.raw().update_many({"_id": {"$in": keys}}, update, session=session)
    return keys


async def _with_joined(join: IdentityJoin, session: AsyncClientSession) -> list[str]:
    """The key, and of an external id those that were joined to it, and to these."""
    keys, found = [join.id], [join.id]
    prefix = f"{join.app_id}/e:"
    for _ in range(_DEEPEST):
        external = [key.removeprefix(prefix) for key in found if key.startswith(prefix)]
        where: Raw = {
            "appId": join.app_id,
            "externalId": {"$in": external},
            "state": {"$in": [None, "joined"]},
        }
        rows = IdentityJoin.raw().find({**where, "due": None}, {"_id": 1}, session=session)
        found = [row["_id"] async for row in rows if row["_id"] not in keys] if external else []
        if not found:
            break
        keys += found
    return keys


async def _take_back(join: IdentityJoin, key: str, session: AsyncClientSession) -> bool:
    """Give a batch of events that a key has lost by the join back to it. Returns whether there may
    be more."""
    if await IdentityJoin.raw().find_one(join.as_read, {"_id": 1}, session=session) is None:
        return False
    own = key_rows(join.app_id, key)
    if key == join.id and "anonymousId" in own:
        by_id = {**own, "given": "externalId"}
        taken = {"$unset": {"externalId": "", "userId": "", "given": ""}}
        if await _update(by_id, taken, session):
            return True
    by_user = {"externalId": None, **own, "given": "userId"}
    return await _update(by_user, {"$unset": {"userId": ""}, "$pull": {"given": "userId"}}, session)


async def _update(where: Raw, update: Raw, session: AsyncClientSession) -> bool:
    """Update a batch of events; whether it was full."""
    events = Analytics.raw()
    ids = [
        row["_id"] async for row in events.find(where, {"_id": 1}, session=session).limit(_BATCH)
    ]
    if ids:
        await events.update_many({"_id": {"$in": ids}}, update, session=session)
    return len(ids) == _BATCH


async def _days_of(join: IdentityJoin, keys: list[str]) -> list[int]:
    """The days on which there are raw events that carry one of these ids."""
    days: set[int] = set()
    for key in keys:
        pipeline: list[Raw] = [
            {"$match": key_rows(join.app_id, key)},
            {"$group": {"_id": {"$dateTrunc": {"date": "$timestamp", "unit": "day"}}}},
        ]
        cursor = await Analytics.raw().aggregate(pipeline)
        days |= {milliseconds(row["_id"]) // DAY_MS async for row in cursor}
    return sorted(days)


async def _recount(app_id: str, day: int) -> None:
    patience = Patience()
    while True:
        try:
            await recount_day(app_id, day)
        except MovedOnError:
            await patience.again()
        else:
            return
