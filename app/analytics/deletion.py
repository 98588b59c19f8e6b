"""Erasure: what goes of a user in analytics besides the events themselves, noted while they go
(docs/analytics.md).

The events leave the rollups, the person's numbers leave the bitmaps of the raw window, the mapping
of keys to numbers goes with the user, and the ledger tells the archives.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pyroaring import BitMap

from app.analytics.merging import move_joins, move_people
from app.analytics.rollup.advance import delta_of
from app.analytics.rollup.apply import add_counts, add_session_days, remove_people, write_visits
from app.analytics.rollup.delta import Delta, SessionChanges, replace_visit, stored_visit
from app.analytics.rollup.property_days import add_properties
from app.analytics.rollup.recount_visits import archived_in_part, visits_of
from app.relations.hooks import Hooks
from models.analytics import Analytics
from models.base import Raw, now, parse_id
from models.day import PropertyDay
from models.erasure import ErasedMessage, Erasure, digest_of, message_digest
from models.external_id import ExternalId
from models.person import IdentityJoin, Person, PersonMerge, person_key
from models.rollup_state import RollupState
from models.session import VisitSession


async def subtract_events(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Take events that are about to go out of the rollups, as far as these contain them.

    Events that came in after `asOf` are in no rollup; the worker, which might be adding them right
    now, is made to conflict, and then does not find them.
    """
    state = await RollupState.read(session)
    counted = [
        row
        for row in rows
        if isinstance(row.get("receivedAt"), datetime) and row["receivedAt"] < state.as_of
    ]
    if len(counted) < len(rows):
        await RollupState.touch(session)
    users = {row["userId"] for row in rows if row.get("userId") is not None}
    numbers = await _numbers(users, session)
    await _note_digests(rows, session)
    await _note_messages(rows, session)
    if not counted:
        return
    apps = {row["appId"] for row in counted if isinstance(row.get("appId"), str)}
    delta = delta_of(counted, await _broken_down_by(apps))
    await remove_people(delta, numbers, session)
    await add_counts(delta, session, -1)
    await add_properties(delta, session, -1)
    await _shorten_visits(delta, {row["_id"] for row in rows}, state, session)


async def note_numbers(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Keep the numbers of a person who goes until the events are gone, too: these may be swept
    later."""
    for row in rows:
        if row.get("userId") is None:
            continue
        kind = row["_id"]
        digest = [] if kind.startswith("u:") else [digest_of(kind)]
        await _note(row["userId"], [row["number"]], digest, session)
        if kind.startswith("u:") and (former := parse_id(kind[2:])) not in (None, row["userId"]):
            # one who was merged into them, by whose id archived events know them
            await _note(former, [row["number"]], [], session)


async def note_joined_keys(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Keep that an id was joined to a person who goes, carried out or not; not of one that is none
    of theirs."""
    for row in rows:
        if row.get("userId") is not None and row.get("state") in (None, "joined"):
            await _note(row["userId"], [], [digest_of(row["_id"])], session)


async def note_external_ids(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Keep that an external id was a person's who goes, whether an event had it or not."""
    for row in rows:
        key = person_key({"appId": row["appId"], "externalId": row["externalId"]})
        await _note(row["userId"], [], [] if key is None else [digest_of(key)], session)


async def _numbers(users: set[ObjectId], session: AsyncClientSession) -> BitMap:
    """Every number that stands for these users, in the mapping or in the ledger, former ones
    too."""
    if not users:
        return BitMap()
    found = BitMap()
    for numbers in (await Person.numbers_of(users, session)).values():
        found |= BitMap(numbers)
    async for row in Erasure.raw().find(
        {"_id": {"$in": list(users)}}, {"numbers": 1}, session=session
    ):
        found |= BitMap(row.get("numbers", []))
    merges = PersonMerge.raw().find({"into": {"$in": list(found)}}, {"_id": 1}, session=session)
    return found | BitMap([row["_id"] async for row in merges])


async def _note_digests(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Put each user into the ledger, with the other ids by which archived and late events may know
    them."""
    keys: dict[ObjectId, set[str]] = {}
    for row in rows:
        if (user := row.get("userId")) is None:
            continue
        found = keys.setdefault(user, set())
        for name in ("externalId", "anonymousId"):
            if (key := person_key({"appId": row.get("appId"), name: row.get(name)})) is not None:
                found.add(digest_of(key))
    for user, digests in keys.items():
        await _note(
            user, [], sorted(digests), session, sum(row.get("userId") == user for row in rows)
        )


async def _note_messages(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Keep digests of the events' message ids, so that a client that was away brings none back
    under another id."""
    messages = [
        (str(row.get("appId")), str(row["messageId"])) for row in rows if "messageId" in row
    ]
    if messages:
        key = await RollupState.make_digest_key(session)
        await ErasedMessage.note([message_digest(key, *each) for each in messages], session)


async def _note(
    user: ObjectId,
    numbers: list[int],
    digests: list[str],
    session: AsyncClientSession,
    subtracted: int = 0,
) -> None:
    moment = now()
    update: dict[str, Any] = {
        "$addToSet": {"numbers": {"$each": numbers}, "digests": {"$each": digests}},
        "$inc": {"subtracted": subtracted, "version": 1},
        "$set": {"updatedAt": moment, "at": moment},
        "$setOnInsert": {"createdAt": moment},
    }
    await Erasure.raw().update_one({"_id": user}, update, upsert=True, session=session)


async def _broken_down_by(apps: set[str]) -> dict[str, list[str]]:
    """By which properties there are figures: those that are declared, and those that were, since
    their days stay until a recount goes over them."""
    names = await PropertyDay.properties()
    return dict.fromkeys(apps, names)


async def _shorten_visits(
    delta: Delta, going: set[Any], state: RollupState, session: AsyncClientSession
) -> None:
    """Sessions lose these events: they go, or become what the events that are left say."""
    stored = await VisitSession.fetch(delta.visits, session)
    changes: SessionChanges = {}
    for app in {visit.app for visit in delta.visits.values()}:
        names = {
            name for name, visit in delta.visits.items() if visit.app == app and name in stored
        }
        names -= await archived_in_part(app, {name: stored[name] for name in names}, session)
        left = await visits_of(app, names, state.as_of, session, going)
        for name in names:
            replace_visit(changes, stored_visit(stored[name]), left.get(name))
        await write_visits({name: left.get(name) for name in names}, stored, session)
    await add_session_days(changes, session)


HOOKS: Final = Hooks(
    going={
        Analytics: subtract_events,
        Person: note_numbers,
        IdentityJoin: note_joined_keys,
        ExternalId: note_external_ids,
    },
    moving={Person: move_people, IdentityJoin: move_joins},
)
