"""Writing what events add, or what erased events take away, into the day documents. Always within a
transaction."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from bson import Binary, ObjectId
from pymongo import DeleteOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pyroaring import BitMap

from app.analytics.rollup.delta import (
    CountKey,
    Delta,
    SessionChanges,
    Visit,
    joined_visit,
    replace_visit,
    scopes_of,
    stored_visit,
)
from app.analytics.rollup.slots import added, count_id, day_start, moment_of, people_id, session_id
from models.base import Raw, Stored, now
from models.day import LEVELS, CountDay, PeopleDay, SessionDay
from models.session import VisitSession

Operation = ReplaceOne[Raw] | UpdateOne | DeleteOne
SESSION_FIELDS: Final = ("sessions", "duration", "events", "bounces")
NOTHING: Final = b"\0"


async def add_counts(delta: Delta, session: AsyncClientSession, sign: int = 1) -> None:
    """Count events in, or out; a document that counts nothing any more goes."""
    ids = {count_id(*key): key for key in delta.counts}
    stored = await CountDay.fetch(ids, session)
    moment = now()
    operations: list[Operation] = []
    emptied: list[str] = []
    for name, key in ids.items():
        before = stored.get(name)
        if before is None and sign < 0:
            continue
        changes = {slot: sign * count for slot, count in delta.counts[key].items()}
        counts = added(before["counts"] if before else None, changes)
        if not counts.strip(NOTHING):
            operations.append(DeleteOne({"_id": name}))
            day, app, category, event = key
            scope = scopes_of(category, event)[-1]
            emptied += [people_id(day, app, level, scope) for level in range(len(LEVELS))]
        elif before is None:
            row = {"_id": name, **event_fields(key), "counts": Binary(counts), **fresh(moment)}
            operations.append(put_row(row))
        else:
            operations.append(set_fields(name, {"counts": Binary(counts)}, moment))
    await write(CountDay, operations, session)
    await write(PeopleDay, [DeleteOne({"_id": name}) for name in emptied], session)


async def add_people(delta: Delta, numbers: Mapping[str, int], session: AsyncClientSession) -> None:
    """Put people into the sets of each slot, hour, quarter day and day."""
    for level, wanted in enumerate(sets_by_level(delta, numbers)):
        stored = await _sets(wanted, session)
        moment = now()
        operations: list[Operation] = []
        for name, (day, app, scope, groups) in wanted.items():
            before = stored.get(name)
            known = before["sets"] if before else {}
            changed: Raw = {}
            for group, people in groups.items():
                packed = known.get(str(group))
                former = None if packed is None else BitMap.deserialize(packed)
                bitmap = people if former is None else former | people
                if former is None or len(bitmap) != len(former):
                    changed[str(group)] = packed_set(bitmap)
            if before is None:
                row = {
                    "_id": name,
                    "appId": app,
                    "day": day_start(day),
                    "scope": scope,
                    "level": level,
                }
                operations.append(
                    put_row({**row, "sets": changed, "stamp": ObjectId(), **fresh(moment)})
                )
            elif changed:
                operations.append(set_people(name, changed, moment))
        await write(PeopleDay, operations, session)


async def remove_people(delta: Delta, numbers: BitMap, session: AsyncClientSession) -> None:
    """Take people out of the sets of the slots in which these events were, and out of all that
    cover these."""
    everyone = dict.fromkeys(delta.persons(), 0)
    for wanted in sets_by_level(delta, everyone):
        stored = await _sets(wanted, session)
        moment = now()
        operations: list[Operation] = []
        for name, before in stored.items():
            changed: Raw = {}
            for group, packed in before["sets"].items():
                bitmap = BitMap.deserialize(packed)
                if bitmap & numbers:
                    changed[group] = packed_set(bitmap - numbers)
            if changed:
                operations.append(set_people(name, changed, moment))
        await write(PeopleDay, operations, session)


def set_people(name: str, changed: Mapping[str, Binary], moment: datetime) -> UpdateOne:
    """Write sets of a people document, with the stamp that tells that it is another now."""
    sets = {f"sets.{group}": packed for group, packed in changed.items()}
    return set_fields(name, {**sets, "stamp": ObjectId()}, moment)


def packed_set(people: BitMap) -> Binary:
    """A set as it is stored: Roaring's portable form, with runs where these are shorter (in the
    given set, too)."""
    people.run_optimize()
    return Binary(people.serialize())


Wanted = dict[str, tuple[int, str, str, dict[int, BitMap]]]


def sets_by_level(delta: Delta, numbers: Mapping[str, int]) -> list[Wanted]:
    """Level -> document id -> day, app, scope, and the people of each group of slots."""
    slots: dict[tuple[int, str, str], dict[int, BitMap]] = {}
    for (day, app, category, name), sets in delta.people.items():
        for slot, persons in sets.items():
            bitmap = BitMap(numbers[person] for person in persons if person in numbers)
            if not bitmap:
                continue
            for scope in scopes_of(category, name):
                groups = slots.setdefault((day, app, scope), {})
                groups[slot] = groups[slot] | bitmap if slot in groups else bitmap
    return [
        {
            people_id(day, app, level, scope): (day, app, scope, grouped(groups, width))
            for (day, app, scope), groups in slots.items()
        }
        for level, width in enumerate(LEVELS)
    ]


def grouped(slots: Mapping[int, BitMap], width: int) -> dict[int, BitMap]:
    """The people of each group of so many slots."""
    groups: dict[int, list[BitMap]] = {}
    for slot, bitmap in slots.items():
        groups.setdefault(slot // width, []).append(bitmap)
    return {group: BitMap.union(*bitmaps) for group, bitmaps in groups.items()}


async def _sets(wanted: Wanted, session: AsyncClientSession) -> dict[str, Raw]:
    """The stored documents, with the sets that are wanted only."""
    groups = {group for *_, sets in wanted.values() for group in sets}
    fields: Raw = dict.fromkeys((f"sets.{group}" for group in groups), 1)
    fields["kind"] = {"$type": "$sets"}
    found: dict[str, Raw] = {}
    ids = list(wanted)
    for start in range(0, len(ids), 2000):
        where = {"_id": {"$in": ids[start : start + 2000]}}
        async for row in PeopleDay.raw().find(where, fields, session=session):
            if row.pop("kind") == "object":  # else what is wanted of it is left out
                row.setdefault("sets", {})
            if PeopleDay.sound([row], ("sets",)):
                found[row["_id"]] = row
    return found


async def add_visits(delta: Delta, session: AsyncClientSession) -> None:
    """Take the events' sessions in: prolong those that are known, begin the others."""
    stored = await VisitSession.fetch(delta.visits, session)
    changes: SessionChanges = {}
    after: dict[str, Visit | None] = {}
    for name, visit in delta.visits.items():
        before = stored_visit(stored[name]) if name in stored else None
        after[name] = joined_visit(before, visit)
        replace_visit(changes, before, after[name])
    await write_visits(after, set(stored), session)
    await add_session_days(changes, session)


async def write_visits(
    visits: Mapping[str, Visit | None], known: Iterable[str], session: AsyncClientSession
) -> None:
    """Store sessions as they are now; None for one that has no events any more."""
    stored = set(known)
    moment = now()
    operations: list[Operation] = []
    for name, visit in visits.items():
        if visit is None:
            operations.append(DeleteOne({"_id": name}))
            continue
        fields = {
            "start": moment_of(visit.start),
            "end": moment_of(visit.end),
            "events": visit.events,
        }
        if name in stored:
            operations.append(set_fields(name, fields, moment))
        else:
            operations.append(put_row({"_id": name, "appId": visit.app, **fields, **fresh(moment)}))
    await write(VisitSession, operations, session)


async def add_session_days(changes: SessionChanges, session: AsyncClientSession) -> None:
    """Count sessions in and out of the slots in which they begin."""
    ids = {session_id(*key): key for key in changes}
    stored = await SessionDay.fetch(ids, session)
    moment = now()
    operations: list[Operation] = []
    for name, key in ids.items():
        before = stored.get(name)
        fields: Raw = {}
        for place, field in enumerate(SESSION_FIELDS):
            by_slot = {slot: change[place] for slot, change in changes[key].items()}
            fields[field] = Binary(added(before[field] if before else None, by_slot, "Q"))
        if before is None:
            row = {"_id": name, "appId": key[1], "day": day_start(key[0])}
            operations.append(put_row({**row, **fields, **fresh(moment)}))
        elif not fields["sessions"].strip(NOTHING):
            operations.append(DeleteOne({"_id": name}))
        else:
            operations.append(set_fields(name, fields, moment))
    await write(SessionDay, operations, session)


def event_fields(key: CountKey) -> Raw:
    """What the document of an event's day says of which it is."""
    day, app, category, name = key
    return {"appId": app, "day": day_start(day), "eventName": name, "eventCategory": category}


def fresh(moment: datetime) -> Raw:
    """The times and the version of a document that is inserted."""
    return {"createdAt": moment, "updatedAt": moment, "version": 1}


def put_row(row: Raw) -> ReplaceOne[Raw]:
    """Put in a document that is not there, or in the place of one that cannot be counted with."""
    return ReplaceOne({"_id": row["_id"]}, row, upsert=True)


def set_fields(name: str, fields: Mapping[str, Any], moment: datetime) -> UpdateOne:
    """Change fields of a document."""
    return UpdateOne(
        {"_id": name}, {"$set": {**fields, "updatedAt": moment}, "$inc": {"version": 1}}
    )


async def write(
    document: type[Stored], operations: list[Operation], session: AsyncClientSession
) -> None:
    """Do what is to be done to a collection, if anything."""
    if operations:
        await document.raw().bulk_write(operations, ordered=False, session=session)
