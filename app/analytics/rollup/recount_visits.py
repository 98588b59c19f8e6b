"""The recount of sessions: those that began on a day or have events on it, each from its raw events
of all days."""

from array import array
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from bson import Binary
from pymongo import DeleteOne
from pymongo.asynchronous.client_session import AsyncClientSession

from app.analytics.rollup.advance import quick_events
from app.analytics.rollup.apply import (
    SESSION_FIELDS,
    add_session_days,
    fresh,
    put_row,
    set_fields,
    write,
    write_visits,
)
from app.analytics.rollup.delta import (
    SessionChanges,
    Visit,
    replace_visit,
    stored_visit,
)
from app.analytics.rollup.recount_scan import Mended, part
from app.analytics.rollup.slots import DAY_MS, SLOT_MS, day_start, milliseconds, pack, session_id
from app.analytics.rollup.sound import is_countable
from models.aside import ROW_FAULTS
from models.base import Raw, now
from models.day import SLOTS, SessionDay
from models.rollup_state import RollupState
from models.seal import WRITING, ArchivedDay
from models.session import VisitSession

_BATCH: Final = 500
_AT_ONCE: Final = 5_000


async def recount_visits_with(app_id: str, day: int, names: Iterable[str]) -> Mended:
    """Recount those of these sessions that are stored nowhere, or began on another day."""
    mended: Mended = {}
    ordered = list(names)
    for start in range(0, len(ordered), _BATCH):
        chosen = ordered[start : start + _BATCH]
        stored = await VisitSession.fetch(chosen, None, ["start"])
        others = [
            name for name in chosen if name not in stored or not _begins_on(stored[name], day)
        ]
        if others:
            join(mended, await _recount_visits(app_id, day, others))
    return mended


def _begins_on(row: Raw, day: int) -> bool:
    return milliseconds(row["start"]) // DAY_MS == day


async def recount_visits_of(app_id: str, day: int) -> Mended:
    """Recount the sessions that began on a day, and then the day's sums."""
    mended: Mended = {}
    names: list[str] = []
    async for row in VisitSession.raw().find(_begun(app_id, day), {"_id": 1}, batch_size=_AT_ONCE):
        names.append(row["_id"])
        if len(names) == _BATCH:
            join(mended, await _recount_visits(app_id, day, names))
            names = []
    if names:
        join(mended, await _recount_visits(app_id, day, names))
    return join(mended, await _recount_sums(app_id, day))


def join(mended: Mended, more: Mended) -> Mended:
    """Add what differed to what differed before."""
    for collection, names in more.items():
        mended.setdefault(collection, set()).update(names)
    return mended


_COUNTED: Final = {"$gte": 0, "$lte": 2**53}


def _begun(app_id: str, day: int) -> Raw:
    return {"appId": app_id, "start": {"$gte": day_start(day), "$lt": day_start(day + 1)}}


async def _recount_visits(app_id: str, day: int, names: list[str]) -> Mended:
    async def work(state: RollupState, session: AsyncClientSession) -> tuple[Mended, int]:
        stored = await VisitSession.fetch(names, session)
        touched = set(names) - await archived_in_part(app_id, stored, session)
        true = await visits_of(app_id, touched, state.as_of, session)
        wrong = {
            name: true.get(name)
            for name in touched
            if true.get(name) != (stored_visit(stored[name]) if name in stored else None)
        }
        changes: SessionChanges = {}
        for name, visit in wrong.items():
            replace_visit(changes, stored_visit(stored[name]) if name in stored else None, visit)
        await write_visits(wrong, stored, session)
        await add_session_days(changes, session)
        sums = {session_id(*key) for key in changes}
        mended = {VisitSession.collection_name(): set(wrong), SessionDay.collection_name(): sums}
        return mended, state.next_number

    return await part(app_id, day, work)


def _change_of(app_id: str, day: int, fields: dict[str, bytes], *, is_there: bool) -> Any:
    """What makes the sums that are stored those that are true."""
    name = session_id(day, app_id)
    packed = {field: Binary(each) for field, each in fields.items()}
    if not fields:
        return DeleteOne({"_id": name})
    if is_there:
        return set_fields(name, packed, now())
    row = {"_id": name, "appId": app_id, "day": day_start(day), **packed, **fresh(now())}
    return put_row(row)


async def _recount_sums(app_id: str, day: int) -> Mended:
    """Compare the sums of a day with its sessions, and put them right."""
    name = session_id(day, app_id)

    async def work(state: RollupState, session: AsyncClientSession) -> tuple[Mended, int]:
        before = await SessionDay.raw().find_one({"_id": name}, session=session)
        fields = await _sums(app_id, day, session)
        known = {field: before.get(field) for field in SESSION_FIELDS} if before else {}
        if known == fields:
            return {}, state.next_number
        change = _change_of(app_id, day, fields, is_there=before is not None)
        await write(SessionDay, [change], session)
        return {SessionDay.collection_name(): {name}}, state.next_number

    return await part(app_id, day, work)


async def _sums(app_id: str, day: int, session: AsyncClientSession) -> dict[str, bytes]:
    """Sessions, milliseconds, events and single-event sessions by slot, packed; nothing where there
    is no session."""
    arrays = {field: array("Q", bytes(SLOTS * 8)) for field in SESSION_FIELDS}
    start = day_start(day)
    pipeline: list[Raw] = [
        {"$match": {**_begun(app_id, day), "end": {"$type": "date"}, "events": _COUNTED}},
        {
            "$group": {
                "_id": {"$floor": {"$divide": [{"$subtract": ["$start", start]}, SLOT_MS]}},
                "sessions": {"$sum": 1},
                "duration": {"$sum": {"$subtract": ["$end", "$start"]}},
                "events": {"$sum": "$events"},
                "bounces": {"$sum": {"$cond": [{"$eq": ["$events", 1]}, 1, 0]}},
            }
        },
    ]
    async for row in await VisitSession.raw().aggregate(pipeline, session=session):
        for field in SESSION_FIELDS:
            arrays[field][int(row["_id"])] = int(row[field])
    return (
        {field: pack(values) for field, values in arrays.items()} if any(arrays["sessions"]) else {}
    )


async def archived_in_part(
    app_id: str, stored: Mapping[str, Raw], session: AsyncClientSession
) -> set[str]:
    """Those of these sessions that reach into a day whose raw events are archived: they can be
    counted anew no more."""
    if not stored:
        return set()
    first = _midnight(min(row["start"] for row in stored.values()))
    last = max(row["end"] for row in stored.values())
    where = {"appId": app_id, "day": {"$gte": first, "$lte": last}, "state": {"$ne": WRITING}}
    days = [row["day"] async for row in ArchivedDay.raw().find(where, {"day": 1}, session=session)]
    return {
        name
        for name, row in stored.items()
        if any(_midnight(row["start"]) <= day <= row["end"] for day in days)
    }


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


async def visits_of(
    app_id: str,
    names: set[str],
    as_of: datetime,
    session: AsyncClientSession,
    without: set[Any] | None = None,
) -> dict[str, Visit]:
    """Sessions by their raw events that came in before `as_of`, `without` those of these ids;
    absent where none is."""
    found: dict[str, Visit] = {}
    limit = milliseconds(as_of)
    ordered = [name[len(app_id) + 1 :] for name in names]
    fields = dict.fromkeys(
        ("appId", "sessionId", "timestamp", "receivedAt", "eventName", "eventCategory"), 1
    )
    for start in range(0, len(ordered), _BATCH):
        where = {"sessionId": {"$in": ordered[start : start + _BATCH]}, "appId": app_id}
        async for row in quick_events().find(where, fields, session=session):
            try:
                received, moment = milliseconds(row["receivedAt"]), milliseconds(row["timestamp"])
                countable = is_countable(row)
            except ROW_FAULTS:  # whoever counts its day tells
                continue
            if not countable or received >= limit or (without and row["_id"] in without):
                continue
            name = f"{app_id}/{row['sessionId']}"
            visit = found.setdefault(name, Visit(app_id, moment, moment, 0))
            visit.start, visit.end = min(visit.start, moment), max(visit.end, moment)
            visit.events += 1
    return found
