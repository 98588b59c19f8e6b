"""Ingest: check each event, see that its user exists, store each message once, set aside what
cannot be counted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pydantic import TypeAdapter, ValidationError

from app.analytics.ingest.incoming import Incoming, checked, first_of_each, rows_of, split
from app.analytics.ingest.inserts import UserGone
from app.analytics.ingest.intake import Intake
from app.analytics.ingest.quarantine import Bad, set_aside
from app.database.rights import held
from app.errors import Invalid, NotFound, Unavailable
from app.identity.principal import Principal, authorize
from app.web.validation.errors import validation_problem
from models.analytics import AnalyticsContent, DuplicateMessages
from models.base import Raw, now, parse_id
from models.deletion import Deletion
from models.user import User
from models.values import Json

MAX_EVENTS: Final = 500
_RACES: Final = 20
_WAS_ERASED: Final = "this was a user's who was erased"
_ONE: Final = TypeAdapter(AnalyticsContent)


async def ingest(principal: Principal, body: Json, intake: Intake) -> dict[str, int]:
    """Store one event, or of up to 500 those that are acceptable; the others are set aside.

    Args:
        principal: who sends them; a user's token sends that user's own.
        body: an event, or an array of events.
        intake: of this process.

    Returns:
        `{"accepted", "duplicates", "quarantined"}`: how many were stored now, were stored before,
        were set aside.

    Raises:
        Invalid: a single event is not acceptable, or the body is none; `errors` names the fields;
            nothing is stored.
        NotFound: the events are another user's or another app's than the caller's.
        TooManyRequests: the write key's rate or quota is used up.
    """
    if not isinstance(body, list):
        return await _ingest_one(principal, body, intake)
    if len(body) > MAX_EVENTS:
        raise Invalid.field("", "too_long", f"a request has at most {MAX_EVENTS} events")
    _default_app(principal, body)
    good, bad = split(checked(body))
    return await store(principal, good, bad, intake)


async def _ingest_one(principal: Principal, body: Json, intake: Intake) -> dict[str, int]:
    _default_app(principal, [body])
    try:
        event = Incoming(_ONE.validate_python(body), body)
    except ValidationError as error:
        raise validation_problem(error.errors(), "") from None
    await _authorize(principal, [event], intake)
    await _find_external([event], intake)
    if event.user is not None and not await _exists(event.user, intake):
        raise Invalid.field("/userId", "unknown_user", "there is no such user")
    (erased,) = await _erased_fields([event], intake)
    if erased is not None:
        raise Invalid.field(erased, "unknown_user", _WAS_ERASED)
    return await store(principal, [event], [], intake)


async def store(
    principal: Principal,
    good: list[Incoming],
    bad: list[Bad],
    intake: Intake,
    *,
    lenient: bool = False,
) -> dict[str, int]:
    """Store events that are checked, and set the others aside.

    Args:
        principal: who sends them.
        good: events to store.
        bad: events to set aside.
        intake: of this process.
        lenient: take the id of a user who never was here for an external id, as Segment's clients
            send them.
    """
    await _authorize(principal, good, intake)
    await intake.limits.take(principal, len(good) + len(bad))
    received = now()
    await _find_external(good, intake)
    good = await _after_seal(good, bad, intake, received)
    accepted, count = await _store(good, bad, received, intake, lenient=lenient)
    if bad:
        await set_aside(bad, principal, intake.settings)
    return {"accepted": accepted, "duplicates": count - accepted, "quarantined": len(bad)}


async def _store(
    good: list[Incoming], bad: list[Bad], received: datetime, intake: Intake, *, lenient: bool
) -> tuple[int, int]:
    """Store the events of a request, all at once or none; those of users who are not there are bad.

    Returns:
        How many were stored, and how many there were: the others were stored before, or come twice.
    """
    for attempt in range(_RACES):
        good = await _of_unerased(await _of_living(good, bad, intake, lenient=lenient), bad, intake)
        rows = rows_of(good, received, intake.ids)
        if not rows:
            return 0, 0
        users = {event.user for event in good if event.user is not None}
        new = first_of_each(rows)
        try:
            return await _insert(new, users, intake, attempt), len(rows)
        except (DuplicateMessages, UserGone):
            continue  # the transaction is gone: look what is stored, and who is there, in a new one
    raise Unavailable("the same events are being stored by other requests")


async def _insert(rows: list[Raw], users: set[ObjectId], intake: Intake, attempt: int) -> int:
    """Insert new events, all or none; how many. The first time in company, unless the caller's
    rights are to be looked at in their own transaction."""
    inserts = intake.inserts
    if len(rows) == 1:
        return await inserts.insert_single(rows[0], users)
    if attempt == 0 and len(rows) <= inserts.most_in_company and not held():
        return await inserts.insert_batch(rows, users)
    return await inserts.insert_alone(rows, users, look=attempt > 0)


def _default_app(principal: Principal, events: Sequence[Any]) -> None:
    """A caller who is bound to an app need not name it."""
    if principal.app_id is None:
        return
    for event in events:
        if isinstance(event, dict):
            event.setdefault("appId", principal.app_id)


async def _authorize(principal: Principal, good: list[Incoming], intake: Intake) -> None:
    """See whose the events are, and that the caller may send them."""
    own = principal.id if principal.kind == "user" else None
    if not good:
        authorize(principal, "events:write", user_id=own)
    for app_id in {event.content.app_id for event in good}:
        authorize(principal, "events:write", user_id=own, app_id=app_id)
        await intake.apps.settings_of(app_id)
    users: dict[str | None, ObjectId | None] = {}  # a batch is of few
    for event in good:
        name = event.content.user_id
        if name not in users:
            users[name] = _user_of(principal, name)
            if own is not None and users[name] != own:
                raise NotFound("there is no such user")
        event.user = users[name]


def _user_of(principal: Principal, name: str | None) -> ObjectId | None:
    if name is None:
        return principal.id if principal.kind == "user" else None
    return parse_id(name) if name != "me" or principal.kind == "key" else principal.id


async def _find_external(good: list[Incoming], intake: Intake) -> None:
    """External ids that are linked to a user are that user's."""
    external: dict[str, set[str]] = {}
    for event in good:
        if event.user is None and event.content.user_id is not None:
            external.setdefault(event.content.app_id, set()).add(event.content.user_id)
    for app_id, ids in external.items():
        users = await intake.linked(app_id, ids)
        for event in good:
            content = event.content
            if event.user is None and content.app_id == app_id and content.user_id is not None:
                event.user = users.get(content.user_id)


async def _of_living(
    good: list[Incoming], bad: list[Bad], intake: Intake, *, lenient: bool
) -> list[Incoming]:
    """Those whose user is there or who name none; the others are bad. Right before the insert, for
    the lease's sake."""
    users = {event.user for event in good if event.user is not None}
    missing = await intake.leases.hold_living(User, users)
    if not missing:
        return good
    erased = await _erased(missing) if lenient else missing
    living = []
    for event in good:
        if event.user in erased:
            bad.append(event.refused("/userId", "unknown_user", "there is no such user"))
            continue
        if event.user in missing:
            event.user = None
        living.append(event)
    return living


async def _of_unerased(good: list[Incoming], bad: list[Bad], intake: Intake) -> list[Incoming]:
    """Those that are not known to be of somebody who was erased; the others are bad, and nothing is
    kept of them."""
    fields = await _erased_fields(good, intake)
    kept = []
    for event, field in zip(good, fields, strict=True):
        if field is None:
            kept.append(event)
        else:
            bad.append(event.refused(field, "unknown_user", _WAS_ERASED))
    return kept


async def _erased_fields(good: list[Incoming], intake: Intake) -> list[str | None]:
    """Of each event the field by which it is an erased user's: an id that was theirs, or the
    `messageId` of theirs."""
    keys = await _erased_keys(good, intake)
    messages = await intake.erased_messages(
        {event.message for event in good if event.content.message_id is not None}
    )
    if not keys and not messages:
        return [None] * len(good)
    return [
        (
            event.pointer
            if event.key in keys
            else "/messageId"
            if event.message in messages
            else None
        )
        for event in good
    ]


async def _erased_keys(good: list[Incoming], intake: Intake) -> set[str | None]:
    keys = {key for event in good if event.user is None and (key := event.key) is not None}
    return {*await intake.erased_keys.find(keys)} if keys else set()


async def _exists(user_id: ObjectId, intake: Intake) -> bool:
    try:
        await intake.leases.hold(User, user_id)
    except NotFound:
        return False
    return True


async def _erased(users: set[ObjectId]) -> set[ObjectId]:
    cursor = Deletion.raw().find({"_id": {"$in": list(users)}}, {"_id": 1})
    return {row["_id"] async for row in cursor}


async def _after_seal(
    good: list[Incoming], bad: list[Bad], intake: Intake, received: datetime
) -> list[Incoming]:
    """Those of days that are not archived yet; the others are bad."""
    seals = await intake.seals()
    if not seals:
        return good
    taken = []
    for event in good:
        sealed_to = seals.get(event.content.app_id)
        if sealed_to is not None and (event.content.timestamp or received) < sealed_to:
            detail = "the day of this event is archived"
            bad.append(event.refused("/timestamp", "sealed", detail))
        else:
            taken.append(event)
    return taken
