"""The recount: a day of an app from its raw events, against what the rollups say; what differs is
mended and told.

A day is counted in parts, each in a short transaction: its slots one after another, then the people
of longer spans, the values of properties, and the sessions. What is in memory is one part, however
large the day is.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession

from app.analytics.rollup.advance import MovedOnError, declared_properties, quick_events
from app.analytics.rollup.delta import Delta
from app.analytics.rollup.recount_properties import (
    TooManyValuesError,
    cap_heads,
    recount_properties,
    write_apart,
)
from app.analytics.rollup.recount_scan import (
    DayArchivedError,
    Mended,
    Scan,
    ScanWork,
    is_archived,
    part,
    scanned_part,
)
from app.analytics.rollup.recount_slots import PART, plan, recount_levels, recount_slots, span_of
from app.analytics.rollup.recount_visits import join, recount_visits_of, recount_visits_with
from app.analytics.rollup.slots import DAY_MS, day_name, day_start, milliseconds, session_id
from models.aside import tell
from models.base import Raw
from models.checked import Checked
from models.day import CountDay, PeopleDay, PropertyDay, SessionDay
from models.rollup_state import RollupState

_TRIES: Final = 5
PropertyWork = Callable[[str, int, Any, Delta, AsyncClientSession], Awaitable[Mended]]
"""Compares, or mends, the properties of an app's day: app, day, which ones, and what all events
say of them."""
_BY_DAY: Final[tuple[type[Checked], ...]] = (CountDay, PeopleDay, PropertyDay, SessionDay)


@dataclass(frozen=True, slots=True)
class Found:
    """What a recount of a day found: documents that differed, by collection, and how many events
    there are."""

    app_id: str
    day: int
    events: int
    mended: dict[str, int]


async def recount_day(app_id: str, day: int, most: int = PART) -> Found:
    """Count a day of an app anew and put right what differs.

    A day that is archived is left alone: its events may be gone, some of them or all.

    Args:
        app_id: the app.
        day: counted from 1970.
        most: about how many events are in memory at once.

    Raises:
        MovedOnError: the worker moved on meanwhile, again and again.
    """
    if await is_archived(app_id, day):
        return Found(app_id, day, 0, {})
    declared = (await declared_properties()).get(app_id, [])
    await RollupState.ensure()
    try:
        unsound = await _drop_unsound(app_id, day)
        events, mended = await _recount_parts(app_id, day, most)
        join(mended, unsound)
        join(mended, await _recount_properties(app_id, day, declared))
        join(mended, await recount_levels(app_id, day))
        join(mended, await recount_visits_of(app_id, day))
    except DayArchivedError:
        return Found(app_id, day, 0, {})
    return Found(app_id, day, events, {name: len(ids) for name, ids in mended.items() if ids})


async def _drop_unsound(app_id: str, day: int) -> Mended:
    """Delete the documents of a day that cannot be counted with, or that say that they are of
    another; they are told. By their ids, since any field may be amiss."""
    begins = f"{day_name(day)}/{app_id}/"
    ids: Raw = {"$gte": begins, "$lt": begins[:-1] + "0"}  # the character after the slash
    of_day = {"appId": app_id, "day": day_start(day)}
    mended = Mended()
    for document in _BY_DAY:
        where = {"_id": session_id(day, app_id) if document is SessionDay else ids}
        odd = [
            row["_id"]
            async for row in document.raw().find(where)
            if not document.is_sound(row) or any(row[each] != of_day[each] for each in of_day)
        ]
        for name in odd:
            tell(document, name, TypeError())
        await document.raw().delete_many({"_id": {"$in": odd}})
        mended[document.collection_name()] = set(odd)
    return mended


async def _recount_parts(app_id: str, day: int, most: int) -> tuple[int, Mended]:
    events, found = 0, Mended()
    for slots in await plan(app_id, day, most):

        async def work(
            scan: Scan, state: RollupState, session: AsyncClientSession, slots: range = slots
        ) -> tuple[Mended, int]:
            return await recount_slots(scan, day, slots, state, session)

        scan, mended = await scanned_part(app_id, day, span_of(day, slots), work)
        events += scan.events
        join(found, mended)
        join(found, await recount_visits_with(app_id, day, scan.delta.visits))
    return events, found


async def _recount_properties(app_id: str, day: int, declared: Sequence[str]) -> Mended:
    """Recount the values of one property after another; those of properties that are not declared
    any more go."""
    found, span = Mended(), (day_start(day), day_start(day + 1))
    for name in declared:

        async def of_property(work: PropertyWork, name: str = name) -> tuple[Delta, Mended]:
            scan, mended = await scanned_part(app_id, day, span, _scanned(day, name, work), [name])
            return scan.delta, mended

        join(found, await _recounted(app_id, day, name, of_property))
    others = {"$nin": list(declared)}

    async def of_others(work: PropertyWork) -> tuple[Delta, Mended]:
        async def gone(state: RollupState, session: AsyncClientSession) -> tuple[Mended, int]:
            return await work(app_id, day, others, Delta(), session), state.next_number

        return Delta(), await part(app_id, day, gone)

    return join(found, await _recounted(app_id, day, others, of_others))


async def _recounted(
    app_id: str,
    day: int,
    which: Any,
    within: Callable[[PropertyWork], Awaitable[tuple[Delta, Mended]]],
) -> Mended:
    """Recount properties in a transaction; where too much differs for one, in several.

    Args:
        app_id: the app.
        day: counted from 1970.
        which: the property, or a condition on it.
        within: does something in a transaction, with what all events say of these properties; gives
            that, and what it mended.
    """
    written = 0
    for _ in range(_TRIES):
        try:
            _, mended = await within(_recount)
            return join(mended, _numbered({"propertyvalues": written}, f"{which} before"))
        except TooManyValuesError:
            delta, _ = await within(_cap)
            written += await write_apart(app_id, day, which, delta)
    raise MovedOnError


async def _recount(*told: Any) -> Mended:
    return _numbered(await recount_properties(*told), str(told[2]))


async def _cap(*told: Any) -> Mended:
    return _numbered({"propertydays": await cap_heads(*told)}, str(told[2]))


def _scanned(day: int, name: str, work: PropertyWork) -> ScanWork:
    async def scanned(
        scan: Scan, state: RollupState, session: AsyncClientSession
    ) -> tuple[Mended, int]:
        return await work(scan.app_id, day, name, scan.delta, session), state.next_number

    return scanned


def _numbered(counts: Mapping[str, int], name: str) -> Mended:
    """As many documents that differed, each with something that tells it from others."""
    return {
        collection: {(name, number) for number in range(count)}
        for collection, count in counts.items()
    }


async def days_touched(since: datetime) -> list[tuple[str, int]]:
    """(App, day) of every event that came in since then, in order."""
    pipeline: list[Raw] = [
        {"$match": {"receivedAt": {"$gte": since}, "timestamp": {"$type": "date"}}},
        {
            "$group": {
                "_id": {
                    "app": "$appId",
                    "day": {"$dateTrunc": {"date": "$timestamp", "unit": "day"}},
                }
            }
        },
    ]
    cursor = await quick_events().aggregate(pipeline)
    rows = [row["_id"] async for row in cursor if isinstance(row["_id"].get("app"), str)]
    return sorted((row["app"], milliseconds(row["day"]) // DAY_MS) for row in rows)
