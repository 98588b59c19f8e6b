"""Property days as they are stored: reading and writing the values of `property_values`. Always
within a session."""

import hashlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pymongo import DeleteOne, ReplaceOne
from pymongo.asynchronous.client_session import AsyncClientSession

from app.analytics.rollup.delta import CountKey, Delta
from app.analytics.rollup.property_values import Changes, Counted, PropertyValues, Values, after
from app.analytics.rollup.slots import DAY_MS, day_start, milliseconds, pack, property_id, unpack
from models.base import Raw, Stored, now
from models.day import PropertyDay, PropertyValue

Operation = ReplaceOne[Raw] | DeleteOne
_NOTHING: Final = b"\0"
_AT_ONCE: Final = 1000


@dataclass(slots=True)
class ChangedDay:
    """A property day and what it becomes: `apart` is value -> what is kept of it apart from the
    list, or None."""

    key: CountKey
    declared: str
    before: Raw | None
    changes: Changes
    near: Values = field(default_factory=dict)
    after: PropertyValues = field(default_factory=PropertyValues)
    apart: dict[str, Counted | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The document's id."""
        return property_id(*self.key, self.declared)


async def changed_days(
    delta: Delta, session: AsyncClientSession, sign: int = 1
) -> list[ChangedDay]:
    """What events make of the property days that they touch; nothing is written."""
    days = {
        property_id(*key, name): ChangedDay(key, name, None, each)
        for (key, name), each in delta.properties.items()
    }
    for name, row in (await PropertyDay.fetch(days, session)).items():
        days[name].before = row
    found = [day for day in days.values() if day.before is not None or sign > 0]
    await _read_near(found, session, sign)
    for day in found:
        before = None if day.before is None else values_of(day.before)
        day.after, day.apart = after(before, day.near, day.changes, sign)
    return found


async def _read_near(days: Iterable[ChangedDay], session: AsyncClientSession, sign: int) -> None:
    """Read what is not listed and may matter: the changed values, and where events go the most
    frequent ones."""
    wanted: dict[str, ChangedDay] = {}
    for day in days:
        if day.before is None or not day.before["outside"] or day.before.get("capped"):
            continue
        group = group_of(day.name)
        listed = set(day.before["values"])
        wanted |= {value_id(group, value): day for value in day.changes if value not in listed}
        if sign < 0:
            for row in await PropertyValue.most_frequent(group, len(day.changes), session):
                day.near[row["value"]] = stored_value(row)
    for name, row in (
        await PropertyValue.fetch(wanted, session, ("value", "total", "slots"))
    ).items():
        wanted[name].near[row["value"]] = stored_value(row)


async def add_properties(delta: Delta, session: AsyncClientSession, sign: int = 1) -> None:
    """Count the values of declared properties in, or out."""
    moment = now()
    days = await changed_days(delta, session, sign)
    heads: list[Operation] = []
    for day in days:
        if not day.after.counts.strip(_NOTHING):
            heads.append(DeleteOne({"_id": day.name}))
        elif day.before is None:
            heads.append(put_row({**head_row(day.key, day.declared, day.after), **fresh(moment)}))
        else:
            row = {**head_row(day.key, day.declared, day.after), **following(day.before, moment)}
            heads.append(ReplaceOne({"_id": day.name}, row))
    await write(PropertyDay, heads, session)
    await write(
        PropertyValue, [each for day in days for each in _value_operations(day, moment)], session
    )


def _value_operations(day: ChangedDay, moment: datetime) -> list[Operation]:
    group = group_of(day.name)
    operations: list[Operation] = []
    for value, counted in day.apart.items():
        name = value_id(group, value)
        if counted is None:
            operations.append(DeleteOne({"_id": name}))
        else:
            row = {**value_row(day.key, group, value, counted), **fresh(moment)}
            operations.append(ReplaceOne({"_id": name}, row) if value in day.near else put_row(row))
    return operations


async def due_days() -> set[tuple[str, int]]:
    """(App, day) of property days that are to be counted anew."""
    rows = PropertyDay.raw().find({"due": True}, {"_id": 0, "appId": 1, "day": 1})
    return {(row["appId"], milliseconds(row["day"]) // DAY_MS) async for row in rows}


async def cap_days(app_id: str, day: int) -> None:
    """Keep of an app's archived day the listed values alone, and how often any other may have come.
    Can be repeated."""
    where = {"appId": app_id, "day": day_start(day), "outside": {"$gt": 0}}
    async for row in PropertyDay.raw().find(where, {"_id": 1}):
        same = {"_id": row["_id"]}
        moved = {"$inc": {"version": 1}}
        await PropertyDay.raw().update_one(
            same, {"$set": {"capped": True, "updatedAt": now()}, **moved}
        )
        await PropertyValue.raw().delete_many({"group": group_of(row["_id"])})
        await PropertyDay.raw().update_one(
            same, {"$set": {"outside": 0, "updatedAt": now()}, **moved}
        )


def values_of(row: Raw) -> PropertyValues:
    """The values of a stored day. Where their slots were not read, they have none."""
    totals = unpack(row["totals"], "Q")
    slots = row.get("slots") or [b""] * len(totals)
    listed = {
        value: Counted(*each) for value, *each in zip(row["values"], totals, slots, strict=True)
    }
    return PropertyValues(
        listed, row["counts"], row["outside"], row["bound"], bool(row.get("capped"))
    )


def head_row(key: CountKey, name: str, values: PropertyValues) -> Raw:
    """A day as it is stored, but for its times."""
    day, app, category, event = key
    row: Raw = {
        "_id": property_id(*key, name),
        "appId": app,
        "day": day_start(day),
        "eventName": event,
        "eventCategory": category,
        "property": name,
        "values": list(values.listed),
        "totals": pack(array("Q", [each.total for each in values.listed.values()])),
        "slots": [each.slots for each in values.listed.values()],
        "counts": values.counts,
        "outside": values.outside,
        "bound": values.bound,
    }
    return {**row, "capped": True} if values.capped else row


def value_row(key: CountKey, group: str, value: str, counted: Counted) -> Raw:
    """A value that is not listed, as it is stored, but for its times."""
    row: Raw = {
        "_id": value_id(group, value),
        "appId": key[1],
        "day": day_start(key[0]),
        "group": group,
    }
    return {**row, "value": value, "total": counted.total, "slots": counted.slots}


def group_of(name: str) -> str:
    """What the values of a property day are found by; ids may be long."""
    return _digest(name)


def value_id(group: str, value: str) -> str:
    """The id of a value that is not listed."""
    return f"{group}/{_digest(value)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stored_value(row: Raw) -> Counted:
    """How often a stored value came."""
    return Counted(row["total"], row["slots"])


def put_row(row: Raw) -> ReplaceOne[Raw]:
    """Put in a document that is not there, or in the place of one that cannot be counted with."""
    return ReplaceOne({"_id": row["_id"]}, row, upsert=True)


def fresh(moment: datetime) -> Raw:
    """The times and the version of a document that is inserted."""
    return {"createdAt": moment, "updatedAt": moment, "version": 1}


def following(before: Raw, moment: datetime) -> Raw:
    """Those of one that takes the place of another."""
    return {"createdAt": before["createdAt"], "updatedAt": moment, "version": before["version"] + 1}


async def write(
    document: type[Stored], operations: list[Operation], session: AsyncClientSession
) -> None:
    """Do what is to be done to a collection, a thousand at once."""
    for start in range(0, len(operations), _AT_ONCE):
        await document.raw().bulk_write(
            operations[start : start + _AT_ONCE], ordered=False, session=session
        )
