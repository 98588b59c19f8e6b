"""The restore: archived days put back into the database part by part, without the erased; rollups
have them already."""

from collections.abc import Callable
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError

from app.analytics.archive.entry import parts_of, read_part, step, with_part
from app.analytics.archive.files import unpack_rows
from app.analytics.archive.target import Target, archive_target
from app.analytics.rollup.people import guard_users, known_people
from app.database import transaction
from app.settings import Settings
from models.analytics import Analytics
from models.base import Raw, now
from models.erasure import Erasure
from models.person import person_key
from models.seal import ALL, SOME, WRITING, ArchivedDay, Seal

_RELEASE: Final = {"$unset": {"held": ""}, "$inc": {"version": 1}}
_TRIES: Final = 5
_DUPLICATE_KEY: Final = 11000


def _silent(_: int) -> None:
    return


async def restore_day(
    settings: Settings, app_id: str, day: str, progress: Callable[[int], object] = _silent
) -> tuple[int, int]:
    """Put a day's events back from its files, without those of the erased. No rollup changes: they
    have them already.

    The day is held from before its first event is back: no archiving takes it away again until
    `release_days`. One that was broken off goes on with the part that it was at. `progress` is told
    of how many events it is done with now.

    Returns:
        How many were put back, and how many were left out: erased, there already, or stored anew by
        their `messageId`.

    Raises:
        KeyError: there is no archive of this day.
        DamagedArchiveError: a file is not what was written.
    """
    row = await _hold(f"{app_id}/{day}")
    if row is None:
        raise KeyError(f"{app_id} has no archive of {day}")
    restored = list[int]()
    try:
        total = await _put_back(archive_target(settings), row["_id"], restored, progress)
    except BaseException:
        # else an earlier restore holds it, or the next goes on
        if not row.get("held") and not sum(restored):
            await ArchivedDay.raw().update_one({"_id": row["_id"]}, _RELEASE)
        raise
    return sum(restored), total - sum(restored)


async def _hold(name: str) -> Raw | None:
    """Hold a day; its entry as it was before, None where there is no archive of it."""
    written = {"_id": name, "state": {"$ne": WRITING}}
    return await ArchivedDay.raw().find_one_and_update(
        written, {"$set": {"held": True}, "$inc": {"version": 1}}
    )


async def release_days(app_id: str, first: str, last: str) -> int:
    """End the hold on restored days of an app: the next archiving takes their events away again.
    How many were held."""
    where = {"_id": {"$gte": f"{app_id}/{first}", "$lte": f"{app_id}/{last}"}, "held": True}
    return (await ArchivedDay.raw().update_many(where, _RELEASE)).modified_count


async def _put_back(
    archive: Target, name: str, restored: list[int], progress: Callable[[int], object]
) -> int:
    """Put a day's parts back one after another, and tell `restored` of each batch. How many events
    they have."""
    total, seen = 0, set[str]()
    while True:
        row = await ArchivedDay.raw().find_one({"_id": name}) or {}
        fresh = [number for number, part in enumerate(parts_of(row)) if part["file"] not in seen]
        if not fresh:
            return total
        part = parts_of(row)[fresh[0]]
        if part["stored"] == ALL or await _put_part_back(archive, row, fresh[0], restored):
            seen.add(part["file"])
            total += part["rows"]
            progress(part["rows"])


async def _put_part_back(archive: Target, row: Raw, number: int, restored: list[int]) -> bool:
    """Put a part's events back. False where the day's files are being rewritten: look at them
    again."""
    part, begun = parts_of(row)[number], False
    try:
        async for rows in read_part(archive, part, unpack_rows):
            if not begun and not await step(
                row, {**with_part(row, number, stored=SOME), "removed": False}
            ):
                return False
            begun = True
            restored.append(await _restore(row["appId"], rows))
    except FileNotFoundError:
        if await step(row, {}):
            raise
        return False
    where = {"_id": row["_id"], "held": True, "parts": {"$elemMatch": {"file": part["file"]}}}
    change = {"$set": {"parts.$.stored": ALL, "updatedAt": now()}, "$inc": {"version": 1}}
    await ArchivedDay.raw().update_one(where, change)
    return True


async def _restore(app_id: str, rows: list[Raw]) -> int:
    """Insert events that are not there, of users who are, in a transaction that conflicts with
    their deletion."""

    async def work(session: AsyncClientSession) -> int:
        unerased = await _unerased(await _absent(app_id, rows, session), session)
        fresh = await _living(app_id, unerased, session)
        if fresh:
            await Analytics.raw().insert_many(fresh, ordered=False, session=session)
        return len(fresh)

    for attempt in range(_TRIES):
        try:
            return await transaction(work)
        except BulkWriteError as error:
            # an event with one of their `messageId` was stored meanwhile
            codes = {each["code"] for each in error.details["writeErrors"]}
            if codes != {_DUPLICATE_KEY} or attempt == _TRIES - 1:
                raise
    raise AssertionError


async def _absent(app_id: str, rows: list[Raw], session: AsyncClientSession) -> list[Raw]:
    """Those of these events that are stored neither by their id nor by their `messageId`."""
    ids = [row["_id"] for row in rows]
    present = {
        row["_id"]
        async for row in Analytics.raw().find({"_id": {"$in": ids}}, {"_id": 1}, session=session)
    }
    messages = [row["messageId"] for row in rows if "messageId" in row]
    where = {"appId": app_id, "messageId": {"$in": messages, "$gt": ""}}
    taken = set()
    if messages:
        taken = {
            row["messageId"]
            async for row in Analytics.raw().find(where, {"messageId": 1}, session=session)
        }
    return [
        row for row in rows if row["_id"] not in present and row.get("messageId", ()) not in taken
    ]


async def _unerased(rows: list[Raw], session: AsyncClientSession) -> list[Raw]:
    """Those of these events that are by no anonymous or external id that was an erased user's."""
    keys = {key for row in rows if (key := person_key(row)) is not None}
    erased = await Erasure.erased_keys(keys, session)
    return [row for row in rows if person_key(row) not in erased]


async def _living(app_id: str, rows: list[Raw], session: AsyncClientSession) -> list[Raw]:
    """These events without those of users who are gone.

    One by an anonymous or external id that is known to be a user by now is the user's, and goes
    with the user. A join that is being carried out meanwhile conflicts.
    """
    await Seal.touch(app_id, session)
    keys = {
        key for row in rows if row.get("userId") is None and (key := person_key(row)) is not None
    }
    users = (await known_people(keys, session)).users
    owners: list[Any] = [
        (
            row["userId"]
            if isinstance(row.get("userId"), ObjectId)
            else users.get(person_key(row) or "")
        )
        for row in rows
    ]
    living = await guard_users({owner for owner in owners if owner is not None}, session)
    return [
        row if owner is None or row.get("userId") == owner else _given(row, owner)
        for row, owner in zip(rows, owners, strict=True)
        if owner is None or owner in living
    ]


def _given(row: Raw, owner: Any) -> Raw:
    """An event as it is once its id turned out to be a user's."""
    return {**row, "userId": owner, "given": sorted({*row.get("given", ()), "userId"})}
