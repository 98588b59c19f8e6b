"""The rollups' one way forward: a window of received events is added in a transaction that also
moves `asOf`.

Rollups contain exactly what came in before `asOf`. A worker that crashes has added the window or
has not; one whose lease ran out finds that the state has moved on, and adds nothing.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from app.analytics.rollup.apply import add_counts, add_people, add_visits
from app.analytics.rollup.delta import FIELDS, Delta
from app.analytics.rollup.people import Numbered, guard_users, number_people
from app.analytics.rollup.property_days import add_properties
from app.analytics.rollup.slots import milliseconds, moment_of
from app.database import transaction
from models.analytics import Analytics
from models.app import App
from models.aside import ROW_FAULTS, tell
from models.base import Raw, now
from models.rollup_state import BEGINNING, RollupState

WINDOW: Final = 10_000
_IDLE: Final = timedelta(minutes=5)
_OVERDUE: Final = timedelta(minutes=1)
_TICK: Final = timedelta(milliseconds=1)
_MILLISECONDS: Final[CodecOptions[Raw]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_MS
)


class MovedOnError(Exception):
    """Another worker has moved the state on meanwhile: start again from it."""


def quick_events() -> AsyncCollection[Raw]:
    """The events, with times as plain milliseconds: a fifth of the cost of datetimes."""
    return Analytics.raw().with_options(codec_options=_MILLISECONDS)


async def declared_properties() -> dict[str, list[str]]:
    """App -> the properties by which its events are broken down."""
    where = {"_id": {"$gte": ""}, "analyticsProperties.0": {"$exists": True}}
    return {
        row["_id"]: row["analyticsProperties"]
        async for row in App.raw().find(where, {"analyticsProperties": 1})
    }


async def advance(trail: timedelta, window: int = WINDOW) -> int:
    """Add the next window of events, if there is one.

    Args:
        trail: how far the rollups stay behind, so that everything that came in before is stored.
        window: about how many events at most; fewer where properties are declared.

    Returns:
        How many were added; zero where the rollups are as far as they may be.

    Raises:
        MovedOnError: another worker is at it.
    """
    declared = await declared_properties()
    await RollupState.ensure()

    async def work(session: AsyncClientSession) -> int:
        state = await RollupState.read(session)
        # each property may cost as much again
        most = window // (1 + max(map(len, declared.values()), default=0) // 2)
        rows, as_of = await _window(state.as_of, now() - trail, max(1, most), declared, session)
        if as_of <= state.as_of:
            return 0
        delta = delta_of(rows, declared)
        people = await number_people(delta.persons(), state.next_number, session)
        if not await RollupState.move(state, as_of, people.following, session):
            raise MovedOnError
        await _give_to_users(rows, people, session)
        await add_counts(delta, session)
        await add_people(delta, people.numbers, session)
        await add_properties(delta, session)
        await add_visits(delta, session)
        return len(rows)

    return await transaction(work)


async def due_next(trail: timedelta) -> datetime:
    """When there is next something to add; where nothing waits, when what comes in from now on
    could be added."""
    moment, state = now(), await RollupState.read()
    waiting = await Analytics.first_received(state.as_of)
    if waiting is None and moment - state.as_of > _IDLE + trail:
        return moment  # the state is to be moved on, however little there is to add
    return (waiting or moment) + trail


async def passes(moment: datetime, trail: timedelta) -> datetime | None:
    """When the rollups have passed a moment, at the latest: with nothing to add, a worker moves
    them on seldom.

    Returns:
        The time; None where they have not been moved on for so long that no worker seems to do it.
    """
    state = await RollupState.read()
    return None if state.as_of + _IDLE + trail + _OVERDUE < now() else moment + _IDLE + 2 * trail


def delta_of(rows: list[Raw], declared: Mapping[str, list[str]]) -> Delta:
    """What events add to the rollups; those that cannot be read are told, and add nothing."""
    delta = Delta()
    for row in rows:
        try:
            delta.add(row, declared.get(row["appId"], ()))
        except ROW_FAULTS as error:
            tell(Analytics, row["_id"], error)
    return delta


async def _window(
    start: datetime,
    end: datetime,
    most: int,
    declared: Mapping[str, Any],
    session: AsyncClientSession,
) -> tuple[list[Raw], datetime]:
    """The next events by when they came in, and up to when these are all of them. No millisecond is
    cut in two."""
    fields: Raw = {**FIELDS, "receivedAt": 1, **({"eventData": 1} if declared else {})}
    events = quick_events()
    where: Raw = {"receivedAt": {"$gte": start, "$lt": end}}
    found = events.find(where, fields, session=session).sort("receivedAt", 1).limit(most)
    rows = await found.to_list()
    if len(rows) < most:
        # With nothing to add, the state need not move at each look: nothing is unrolled either way.
        moves = rows or end - start > timedelta(seconds=5) or start == BEGINNING
        return rows, end if moves else start
    last = moment_of(milliseconds(rows[-1]["receivedAt"]))
    where = {"receivedAt": {"$gte": last, "$lt": min(end, last + _TICK)}}
    whole = [row for row in rows if milliseconds(row["receivedAt"]) < milliseconds(last)]
    return whole + await events.find(where, fields, session=session).to_list(), last + _TICK


async def _give_to_users(rows: list[Raw], people: Numbered, session: AsyncClientSession) -> None:
    """Events by an anonymous or external id that is known to be a user are the user's, and go with
    the user."""
    found: dict[Any, list[Any]] = {}
    for row in rows:
        if not people.users or "userId" in row:
            continue
        key = (
            f"{row.get('appId')}/e:{row['externalId']}"
            if "externalId" in row
            else f"{row.get('appId')}/a:{row.get('anonymousId')}"
        )
        if (user := people.users.get(key)) is not None:
            found.setdefault(user, []).append(row["_id"])
    living = await guard_users(found, session)
    for user in living:
        update: Raw = {"$set": {"userId": user}, "$addToSet": {"given": "userId"}}
        await Analytics.raw().update_many({"_id": {"$in": found[user]}}, update, session=session)
