"""The recount of some slots of a day: counts and people, against a scan of their events. Only what
differs is written.

People of longer spans are no business of events: they are the union of those of their slots
(`recount_levels`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from bson import Binary, ObjectId
from pymongo import DeleteOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pyroaring import BitMap

from app.analytics.rollup.apply import (
    NOTHING,
    Operation,
    Wanted,
    event_fields,
    fresh,
    grouped,
    packed_set,
    put_row,
    set_fields,
    set_people,
    sets_by_level,
    write,
)
from app.analytics.rollup.delta import Delta
from app.analytics.rollup.people import number_people
from app.analytics.rollup.recount_scan import BY_TIME, Mended, Scan, part
from app.analytics.rollup.slots import (
    SLOT_MS,
    count_id,
    day_start,
    milliseconds,
    moment_of,
    pack,
    people_id,
    unpack,
)
from models.analytics import Analytics
from models.base import Raw, now
from models.day import LEVELS, SLOTS, CountDay, PeopleDay
from models.rollup_state import RollupState

PART: Final = 50_000
"""About how many events one part has; one slot may have more."""
_SCOPES: Final = 8


async def plan(app_id: str, day: int, most: int) -> list[range]:
    """The slots of a day in parts of about so many events each; at least one slot."""
    found = await _events_by_slot(app_id, day)
    parts, first, events = list[range](), 0, 0
    for slot in range(SLOTS):
        here = found.get(slot, 0)
        if events and here and events + here > most:
            parts.append(range(first, slot))
            first, events = slot, 0
        events += here
    return [*parts, range(first, SLOTS)]


async def _events_by_slot(app_id: str, day: int) -> dict[int, int]:
    start = day_start(day)
    pipeline: list[Raw] = [
        {"$match": {"appId": app_id, "timestamp": {"$gte": start, "$lt": day_start(day + 1)}}},
        {
            "$group": {
                "_id": {"$floor": {"$divide": [{"$subtract": ["$timestamp", start]}, SLOT_MS]}},
                "n": {"$sum": 1},
            }
        },
    ]
    cursor = await Analytics.raw().aggregate(pipeline, hint=dict(BY_TIME))
    return {int(row["_id"]): row["n"] async for row in cursor}


def span_of(day: int, slots: range) -> tuple[datetime, datetime]:
    """From when to when slots of a day last."""
    start = milliseconds(day_start(day))
    return moment_of(start + slots.start * SLOT_MS), moment_of(start + slots.stop * SLOT_MS)


async def recount_slots(
    scan: Scan, day: int, slots: range, state: RollupState, session: AsyncClientSession
) -> tuple[Mended, int]:
    """Compare these slots' counts and people with a scan, and put right what differs."""
    people = await number_people(scan.delta.persons(), state.next_number, session)
    wanted = sets_by_level(scan.delta, people.numbers)[0]
    mended = {
        CountDay.collection_name(): await _recount_counts(
            scan.app_id, day, slots, scan.delta, session
        ),
        PeopleDay.collection_name(): await _recount_people(
            scan.app_id, day, slots, wanted, session
        ),
    }
    return mended, people.following


async def _recount_counts(
    app_id: str, day: int, slots: range, delta: Delta, session: AsyncClientSession
) -> set[str]:
    keys = {count_id(*key): key for key in delta.counts}
    where = {"appId": app_id, "day": day_start(day)}
    stored = {
        row["_id"]: row["counts"]
        async for row in CountDay.raw().find(where, {"counts": 1}, session=session)
    }
    moment = now()
    changes: dict[str, Operation] = {}
    for name in stored.keys() | keys.keys():
        before = stored.get(name)
        counts = _with_slots(before, slots, delta.counts[keys[name]] if name in keys else {})
        if counts == before or not (before or counts.strip(NOTHING)):
            continue
        if not counts.strip(NOTHING):
            changes[name] = DeleteOne({"_id": name})
        elif before is None:
            row = {
                "_id": name,
                **event_fields(keys[name]),
                "counts": Binary(counts),
                **fresh(moment),
            }
            changes[name] = put_row(row)
        else:
            changes[name] = set_fields(name, {"counts": Binary(counts)}, moment)
    await write(CountDay, list(changes.values()), session)
    return set(changes)


def _with_slots(packed: bytes | None, slots: range, counts: Mapping[int, int]) -> bytes:
    """Packed counts, in these slots with these ones."""
    values = unpack(packed)
    for slot in slots:
        values[slot] = counts.get(slot, 0)
    return pack(values)


async def _recount_people(
    app_id: str, day: int, slots: range, wanted: Wanted, session: AsyncClientSession
) -> set[str]:
    where = {"appId": app_id, "day": day_start(day), "level": 0}
    fields = {f"sets.{slot}": 1 for slot in slots}
    stored = {
        row["_id"]: row
        async for row in PeopleDay.raw().find(where, {"scope": 1, **fields}, session=session)
    }
    moment = now()
    changes: dict[str, Operation] = {}
    for name in stored.keys() | wanted.keys():
        sets = wanted[name][-1] if name in wanted else {}
        row = _row(app_id, day, 0, wanted[name][2]) if name in wanted else {}
        if (change := _changed(name, stored.get(name), row, sets, slots, moment)) is not None:
            changes[name] = change
    await write(PeopleDay, list(changes.values()), session)
    return set(changes)


def _row(app_id: str, day: int, level: int, scope: str) -> Raw:
    name = people_id(day, app_id, level, scope)
    return {"_id": name, "appId": app_id, "day": day_start(day), "scope": scope, "level": level}


def _changed(
    name: str,
    before: Raw | None,
    row: Raw,
    sets: Mapping[int, BitMap],
    groups: Iterable[int],
    moment: datetime,
) -> Operation | None:
    """What gives a document these sets in these groups; None where it has them."""
    known = _bitmaps((before or {}).get("sets", {}))
    changed = {str(group): sets.get(group, BitMap()) for group in groups}
    packed = {
        group: packed_set(people)
        for group, people in changed.items()
        if people != known.get(int(group), BitMap())
    }
    if not packed:
        return None
    if before is None:
        return put_row({**row, "sets": packed, "stamp": ObjectId(), **fresh(moment)})
    return set_people(name, packed, moment)


def _bitmaps(sets: Mapping[str, bytes]) -> dict[int, BitMap]:
    """The people of each group that has any."""
    found = {int(group): BitMap.deserialize(packed) for group, packed in sets.items()}
    return {group: people for group, people in found.items() if people}


async def recount_levels(app_id: str, day: int) -> Mended:
    """Compare the people of each hour, quarter day and day with those of their slots, and put right
    what differs."""
    where = {"appId": app_id, "day": day_start(day)}
    scopes = sorted(
        {row["scope"] async for row in PeopleDay.raw().find(where, {"_id": 0, "scope": 1})}
    )
    mended: Mended = {PeopleDay.collection_name(): set()}
    for start in range(0, len(scopes), _SCOPES):
        chosen = scopes[start : start + _SCOPES]

        async def work(
            state: RollupState, session: AsyncClientSession, chosen: list[str] = chosen
        ) -> tuple[Mended, int]:
            found = await _recount_scopes(app_id, day, chosen, session)
            return {PeopleDay.collection_name(): found}, state.next_number

        for collection, names in (await part(app_id, day, work)).items():
            mended[collection] |= names
    return mended


async def _recount_scopes(
    app_id: str, day: int, scopes: list[str], session: AsyncClientSession
) -> set[Any]:
    names = [
        people_id(day, app_id, level, scope) for scope in scopes for level in range(len(LEVELS))
    ]
    stored = await PeopleDay.fetch(names, session)
    moment = now()
    changes: dict[str, Operation] = {}
    empty: list[Operation] = []
    for scope in scopes:
        slots = _bitmaps(stored.get(people_id(day, app_id, 0, scope), {}).get("sets", {}))
        for level, width in enumerate(LEVELS):
            row = _row(app_id, day, level, scope)
            before = stored.get(row["_id"])
            if not slots and before is not None:
                empty.append(DeleteOne({"_id": row["_id"]}))
                if _bitmaps(before["sets"]):
                    changes[row["_id"]] = empty.pop()
                continue
            change = _changed(
                row["_id"], before, row, grouped(slots, width), range(SLOTS // width), moment
            )
            if change is not None:
                changes[row["_id"]] = change
    await write(PeopleDay, empty + list(changes.values()), session)
    return set(changes)
