"""The recount of the values of properties. Where more differ than a transaction may hold, they are
written before, in short ones.

Meanwhile the day's lists are `capped`: what is kept beside such a list is nobody's to read or to
change. The last transaction compares everything once more, and ends that. One that is killed
on the way leaves lists that are right and `due`, and the next recount begins again.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from pymongo import DeleteOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from app.analytics.rollup.advance import MovedOnError
from app.analytics.rollup.delta import Delta
from app.analytics.rollup.property_days import (
    ChangedDay,
    Operation,
    following,
    fresh,
    group_of,
    head_row,
    put_row,
    stored_value,
    value_id,
    value_row,
    write,
)
from app.analytics.rollup.property_values import after
from app.analytics.rollup.slots import day_start, property_id
from app.database import transaction
from models.base import Raw, now
from models.day import PropertyDay, PropertyValue

MOST_WRITTEN: Final = 20_000
"""Values in one transaction: each keeps about a KiB of the storage engine's cache until its end."""
_AT_ONCE: Final = 1000
_TIMES: Final = ("createdAt", "updatedAt", "version")
_FIELDS: Final = {"value": 1, "total": 1, "slots": 1}


class TooManyValuesError(Exception):
    """More values differ than one transaction may write: they are to be written before."""


async def recount_properties(
    app_id: str, day: int, which: Any, delta: Delta, session: AsyncClientSession
) -> dict[str, int]:
    """Have the property days of an app's day say what all its events say; only what differs is
    written.

    Args:
        app_id: the app.
        day: counted from 1970.
        which: the property, or a condition on it.
        delta: what all events of the day say of these properties, and of no others.
        session: of the transaction.

    Returns:
        How many documents differed, by collection; collections without any are left out.

    Raises:
        TooManyValuesError: nothing was written; `cap_heads` and `write_apart` come before.
    """
    true, stored = _true(delta), await _stored(app_id, day, which, session)
    values: list[Operation] = []
    for name in stored.keys() | true.keys():
        async for each in _differing(name, true.get(name), session):
            values.append(each)
            if len(values) > MOST_WRITTEN:
                raise TooManyValuesError
    mended = {"propertydays": await _mend_heads(stored, true, session)}
    await write(PropertyValue, values, session)
    mended["propertyvalues"] = len(values)
    return {name: count for name, count in mended.items() if count}


async def cap_heads(
    app_id: str, day: int, which: Any, delta: Delta, session: AsyncClientSession
) -> int:
    """Have the lists say what all events say, and that they alone can be read. How many there
    are."""
    true, stored = _true(delta), await _stored(app_id, day, which, session)
    moment, capped = now(), {"capped": True, "due": True}
    operations: list[Any] = [
        UpdateOne({"_id": name}, {"$set": {**capped, "updatedAt": moment}, "$inc": {"version": 1}})
        for name in stored.keys() - true.keys()
    ]
    for name, each in true.items():
        times = following(stored[name], moment) if name in stored else fresh(moment)
        operations.append(
            put_row({**head_row(each.key, each.declared, each.after), **capped, **times})
        )
    await write(PropertyDay, operations, session)
    return len(operations)


async def write_apart(app_id: str, day: int, which: Any, delta: Delta) -> int:
    """Have the values beside capped lists be those that these events say, in a transaction for a
    thousand. How many differed.

    Raises:
        MovedOnError: a list is capped no more: another recount was faster.
    """
    true, stored = _true(delta), await _stored(app_id, day, which, None)
    total = 0
    for name in stored.keys() | true.keys():
        batch: list[Operation] = []
        async for each in _differing(name, true.get(name), None):
            batch.append(each)
            if len(batch) == _AT_ONCE:
                total += await _write_batch(name, batch)
                batch = []
        total += await _write_batch(name, batch)
    return total


async def _write_batch(name: str, batch: list[Operation]) -> int:
    async def work(session: AsyncClientSession) -> None:
        same = {"_id": name, "capped": True}
        update: Raw = {"$inc": {"version": 1}, "$set": {"updatedAt": now()}}
        if (await PropertyDay.raw().update_one(same, update, session=session)).matched_count == 0:
            raise MovedOnError
        await write(PropertyValue, batch, session)

    if batch:
        await transaction(work)
    return len(batch)


def _true(delta: Delta) -> dict[str, ChangedDay]:
    return {
        property_id(*key, name): ChangedDay(key, name, None, changes, {}, *after(None, {}, changes))
        for (key, name), changes in delta.properties.items()
    }


async def _stored(
    app_id: str, day: int, which: Any, session: AsyncClientSession | None
) -> dict[str, Raw]:
    query = {"appId": app_id, "day": day_start(day), "property": which}
    return {row["_id"]: row async for row in PropertyDay.raw().find(query, session=session)}


async def _mend_heads(
    stored: Mapping[str, Raw], true: Mapping[str, ChangedDay], session: AsyncClientSession
) -> int:
    moment = now()
    operations: list[Operation] = [DeleteOne({"_id": name}) for name in stored.keys() - true.keys()]
    for name, each in true.items():
        before, row = stored.get(name), head_row(each.key, each.declared, each.after)
        if before is None:
            operations.append(put_row({**row, **fresh(moment)}))
        elif {field: value for field, value in before.items() if field not in _TIMES} != row:
            operations.append(ReplaceOne({"_id": name}, {**row, **following(before, moment)}))
    await write(PropertyDay, operations, session)
    return len(operations)


async def _differing(
    name: str, true: ChangedDay | None, session: AsyncClientSession | None
) -> AsyncIterator[Operation]:
    """What makes the values beside a list those that are true: there may be very many, and few of
    them differ."""
    moment, group = now(), group_of(name)
    left = dict(true.apart) if true else {}
    odd = list[Any]()
    rows = PropertyValue.raw().find({"group": group}, _FIELDS, session=session, batch_size=5000)
    async for row in rows:
        if not PropertyValue.is_sound(row, _FIELDS):
            odd.append(row["_id"])
            continue
        counted = left.pop(row["value"], None)
        if true is None or counted is None:
            yield DeleteOne({"_id": row["_id"]})
        elif counted != stored_value(row):
            known = {**value_row(true.key, group, row["value"], counted), **fresh(moment)}
            yield ReplaceOne({"_id": row["_id"]}, known)
    put = {value_id(group, value) for value in left} if odd else set()
    for row_id in odd:
        if row_id not in put:  # else another comes in its place
            yield DeleteOne({"_id": row_id})
    for value, counted in left.items():
        if true is not None and counted is not None:
            yield put_row({**value_row(true.key, group, value, counted), **fresh(moment)})
