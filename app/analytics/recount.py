"""The recount: a day of an app from its raw events, against what the rollups say; what differs is mended and told."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pyroaring import BitMap

from app.analytics.apply import (
    add_counts,
    add_people,
    add_session_days,
    write_visits,
)
from app.analytics.delta import FIELDS, SessionChanges, Visit, replace_visit, stored_visit
from app.analytics.people import number_people
from app.analytics.property_days import recount_properties
from app.analytics.rollup import MovedOnError, declared_properties, delta_of, quick_events
from app.analytics.slots import archived_id, day_start, milliseconds
from app.database import transaction
from models.base import Raw, Stored
from models.day import CountDay, PeopleDay, SessionDay
from models.rollup_state import RollupState
from models.seal import WRITING, ArchivedDay, Seal
from models.session import VisitSession

_DAYS: Final = (CountDay, PeopleDay)
_TIMES: Final = ("createdAt", "updatedAt", "version", "stamp")
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Found:
    """What a recount of a day found: documents that differed, by collection, and how many events there are."""

    app_id: str
    day: int
    events: int
    mended: dict[str, int]


async def recount_day(app_id: str, day: int) -> Found:
    """Count a day of an app anew and put right what differs, in one transaction.

    A day that is archived is left alone: its events may be gone, some of them or all.
    The day's events are in memory meanwhile, some 300 bytes each.

    Raises:
        MovedOnError: the worker moved on meanwhile.
    """
    declared = await declared_properties()
    await RollupState.ensure()

    async def work(session: AsyncClientSession) -> Found:
        if await is_archived(app_id, day, session):
            return Found(app_id, day, 0, {})
        state = await RollupState.read(session)
        rows = await _events(app_id, day, state.as_of, declared, session)
        delta = delta_of(rows, declared)
        people = await number_people(delta.persons(), state.next_number, session)
        if not await RollupState.move(state, state.as_of, people.following, session):
            raise MovedOnError
        before = {document: await _stored(document, app_id, day, session) for document in _DAYS}
        for document in _DAYS:
            await document.raw().delete_many({"appId": app_id, "day": day_start(day)}, session=session)
        await add_counts(delta, session)
        await add_people(delta, people.numbers, session)
        after = {document: await _stored(document, app_id, day, session) for document in _DAYS}
        mended = {
            document.collection_name(): found
            for document in _DAYS
            if (found := _differences(before[document], after[document]))
        }
        mended |= await recount_properties(app_id, day, delta, session)
        mended |= await _recount_visits(app_id, day, rows, state.as_of, session)
        return Found(app_id, day, len(rows), mended)

    return await transaction(work)


async def is_archived(app_id: str, day: int, session: AsyncClientSession) -> bool:
    """Whether a day's file is written, so that its events are removed or being removed."""
    entry = await ArchivedDay.raw().find_one({"_id": archived_id(day, app_id)}, {"state": 1}, session=session)
    return entry is not None and entry.get("state") != WRITING


async def _events(
    app_id: str, day: int, as_of: datetime, declared: Mapping[str, Any], session: AsyncClientSession
) -> list[Raw]:
    fields: Raw = {**FIELDS, "receivedAt": 1, **({"eventData": 1} if app_id in declared else {})}
    where = {"appId": app_id, "timestamp": {"$gte": day_start(day), "$lt": day_start(day + 1)}}
    rows = await quick_events().find(where, fields, session=session).to_list()
    limit = milliseconds(as_of)
    return sorted(
        (row for row in rows if milliseconds(row["receivedAt"]) < limit),
        key=lambda row: (milliseconds(row["receivedAt"]), row["_id"]),
    )


async def _stored(document: type[Stored], app_id: str, day: int, session: AsyncClientSession) -> dict[str, Raw]:
    cursor = document.raw().find({"appId": app_id, "day": day_start(day)}, session=session)
    return {row["_id"]: row async for row in cursor}


def _differences(before: Mapping[str, Raw], after: Mapping[str, Raw]) -> int:
    return sum(_content(before.get(name)) != _content(after.get(name)) for name in before.keys() | after.keys())


def _content(row: Raw | None) -> Any:
    """What a document says: people as sets, and none of the empty ones."""
    if row is None:
        return {}
    kept: Raw = {name: value for name, value in row.items() if name not in (*_TIMES, "sets")}
    if "sets" in row:
        sets = {group: BitMap.deserialize(packed) for group, packed in row["sets"].items()}
        filled = {group: people for group, people in sets.items() if people}
        return {**kept, "sets": filled} if filled else {}
    return kept


async def _recount_visits(
    app_id: str, day: int, rows: list[Raw], as_of: datetime, session: AsyncClientSession
) -> dict[str, int]:
    """The sessions that had events on the day, and the day's sums of those that began on it."""
    names = {f"{app_id}/{row['sessionId']}" for row in rows if row.get("sessionId") is not None}
    begun = await _begun(app_id, day, session)
    stored = begun | await VisitSession.fetch(names - begun.keys(), session)
    kept = await archived_in_part(app_id, stored, session)
    touched = (names | begun.keys()) - kept
    true = await visits_of(app_id, touched, as_of, session)
    wrong = {
        name: true.get(name)
        for name in touched
        if true.get(name) != (stored_visit(stored[name]) if name in stored else None)
    }
    await write_visits(wrong, stored, session)
    changes: SessionChanges = {}
    for name, visit in true.items():
        if visit.start // 86_400_000 == day:
            replace_visit(changes, None, visit)
        elif name in wrong:  # it began on another day, whose sums follow here
            before = stored_visit(stored[name]) if name in stored else None
            replace_visit(changes, before if before and before.start // 86_400_000 != day else None, visit)
    query = {"appId": app_id, "day": day_start(day)}
    former = await _stored(SessionDay, app_id, day, session)
    await SessionDay.raw().delete_many(query, session=session)
    await add_session_days(changes, session)
    present = await _stored(SessionDay, app_id, day, session)
    mended = {"analyticssessions": len(wrong), "sessiondays": _differences(former, present)}
    return {name: count for name, count in mended.items() if count}


async def _begun(app_id: str, day: int, session: AsyncClientSession) -> dict[str, Raw]:
    where = {"appId": app_id, "start": {"$gte": day_start(day), "$lt": day_start(day + 1)}}
    return {row["_id"]: row async for row in VisitSession.raw().find(where, session=session)}


async def archived_in_part(app_id: str, stored: Mapping[str, Raw], session: AsyncClientSession) -> set[str]:
    """Those of these sessions that began on a day whose raw events are archived: they can be counted anew no more."""
    seal = await Seal.raw().find_one({"_id": app_id}, session=session)
    return set() if seal is None else {name for name, row in stored.items() if row["start"] < seal["sealedTo"]}


async def visits_of(
    app_id: str,
    names: set[str],
    as_of: datetime,
    session: AsyncClientSession,
    without: set[Any] | None = None,
) -> dict[str, Visit]:
    """Sessions by their raw events that came in before `as_of`, `without` those of these ids; absent where none is."""
    found: dict[str, Visit] = {}
    limit = milliseconds(as_of)
    ordered = [name[len(app_id) + 1 :] for name in names]
    fields = {"appId": 1, "sessionId": 1, "timestamp": 1, "receivedAt": 1}
    for start in range(0, len(ordered), _BATCH):
        where = {"sessionId": {"$in": ordered[start : start + _BATCH]}, "appId": app_id}
        async for row in quick_events().find(where, fields, session=session):
            if milliseconds(row["receivedAt"]) >= limit or (without and row["_id"] in without):
                continue
            name, moment = f"{app_id}/{row['sessionId']}", milliseconds(row["timestamp"])
            visit = found.setdefault(name, Visit(app_id, moment, moment, 0))
            visit.start, visit.end = min(visit.start, moment), max(visit.end, moment)
            visit.events += 1
    return found


async def days_touched(since: datetime) -> list[tuple[str, int]]:
    """(App, day) of every event that came in since then, in order."""
    pipeline: list[Raw] = [
        {"$match": {"receivedAt": {"$gte": since}}},
        {"$group": {"_id": {"app": "$appId", "day": {"$dateTrunc": {"date": "$timestamp", "unit": "day"}}}}},
    ]
    cursor = await quick_events().aggregate(pipeline)
    rows = [row["_id"] async for row in cursor]
    return sorted(
        (row["app"], milliseconds(row["day"]) // int(timedelta(days=1).total_seconds() * 1000)) for row in rows
    )
