"""The restore: archived days put back into the database, without the erased; rollups have them already."""

import asyncio
from typing import Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError

from app.analytics.archive_target import archive_target
from app.analytics.ledger import Ledger
from app.analytics.people import guard_users, known_people
from app.database import transaction
from app.settings import Settings
from models.analytics import Analytics
from models.base import Raw, now
from models.person import person_key
from models.rollup_state import RollupState
from models.seal import WRITING, ArchivedDay

_RELEASE: Final = {"$unset": {"held": ""}, "$inc": {"version": 1}}
_BATCH: Final = 1000
_TRIES: Final = 5
_DUPLICATE_KEY: Final = 11000


async def restore_day(settings: Settings, app_id: str, day: str) -> tuple[int, int]:
    """Put a day's events back from its file, without those of the erased. Rollups have them already, and do not change.

    The day is held from before its first event is back: no archiving takes it away again until `release_days`.

    Returns:
        How many were put back, and how many were left out: erased, there already, or stored anew by their `messageId`.

    Raises:
        KeyError: there is no archive of this day.
        DamagedArchiveError: the file is not what was written.
    """
    row = await _hold(f"{app_id}/{day}")
    if row is None:
        raise KeyError(f"{app_id} has no archive of {day}")
    try:
        return await _put_back(settings, app_id, row)
    except BaseException:
        if not row.get("held"):  # else an earlier restore holds it
            await ArchivedDay.raw().update_one({"_id": row["_id"]}, _RELEASE)
        raise


async def _hold(name: str) -> Raw | None:
    """Hold a day; its entry as it was before, None where there is no archive of it."""
    written = {"_id": name, "state": {"$ne": WRITING}}
    return await ArchivedDay.raw().find_one_and_update(written, {"$set": {"held": True}, "$inc": {"version": 1}})


async def release_days(app_id: str, first: str, last: str) -> int:
    """End the hold on restored days of an app: the next archiving takes their events away again. How many were held."""
    where = {"_id": {"$gte": f"{app_id}/{first}", "$lte": f"{app_id}/{last}"}, "held": True}
    return (await ArchivedDay.raw().update_many(where, _RELEASE)).modified_count


async def _put_back(settings: Settings, app_id: str, row: Raw) -> tuple[int, int]:
    ledger = await Ledger.since(None)
    await RollupState.ensure()
    rows = await asyncio.to_thread(archive_target(settings).read, row["file"], row["sha256"])
    kept = list(ledger.left_of(rows))
    restored = 0
    for start in range(0, len(kept), _BATCH):
        restored += await _restore(app_id, kept[start : start + _BATCH])
    await ArchivedDay.raw().update_one({"_id": row["_id"]}, {"$set": {"removed": False, "updatedAt": now()}})
    return restored, len(rows) - restored


async def _restore(app_id: str, rows: list[Raw]) -> int:
    """Insert events that are not there, of users who are, in a transaction that conflicts with their deletion."""

    async def work(session: AsyncClientSession) -> int:
        fresh = await _living(await _absent(app_id, rows, session), session)
        if fresh:
            await Analytics.raw().insert_many(fresh, ordered=False, session=session)
        return len(fresh)

    for attempt in range(_TRIES):
        try:
            return await transaction(work)
        except BulkWriteError as error:  # an event with one of their `messageId` was stored meanwhile
            codes = {each["code"] for each in error.details["writeErrors"]}
            if codes != {_DUPLICATE_KEY} or attempt == _TRIES - 1:
                raise
    raise AssertionError


async def _absent(app_id: str, rows: list[Raw], session: AsyncClientSession) -> list[Raw]:
    """Those of these events that are stored neither by their id nor by their `messageId`."""
    ids = [row["_id"] for row in rows]
    present = {row["_id"] async for row in Analytics.raw().find({"_id": {"$in": ids}}, {"_id": 1}, session=session)}
    messages = [row["messageId"] for row in rows if "messageId" in row]
    where = {"appId": app_id, "messageId": {"$in": messages, "$gt": ""}}
    taken = set()
    if messages:
        taken = {row["messageId"] async for row in Analytics.raw().find(where, {"messageId": 1}, session=session)}
    return [row for row in rows if row["_id"] not in present and row.get("messageId", ()) not in taken]


async def _living(rows: list[Raw], session: AsyncClientSession) -> list[Raw]:
    """These events without those of users who are gone.

    One by an anonymous or external id that is known to be a user by now is the user's, and goes with the user. A join
    that is being carried out meanwhile conflicts.
    """
    await RollupState.touch(session)
    keys = {key for row in rows if row.get("userId") is None and (key := person_key(row)) is not None}
    users = (await known_people(keys, session)).users
    owners: list[Any] = [row.get("userId") or users.get(person_key(row) or "") for row in rows]
    living = await guard_users({owner for owner in owners if owner is not None}, session)
    return [
        row if owner is None or row.get("userId") == owner else _given(row, owner)
        for row, owner in zip(rows, owners, strict=True)
        if owner is None or owner in living
    ]


def _given(row: Raw, owner: Any) -> Raw:
    """An event as it is once its id turned out to be a user's."""
    return {**row, "userId": owner, "given": sorted({*row.get("given", ()), "userId"})}
