"""Ingest: check the events of a request as a whole, see that their users exist, store each message once."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from bson import ObjectId
from pydantic import TypeAdapter, ValidationError
from pymongo.asynchronous.client_session import AsyncClientSession

from app.apps.registry import AppRegistry
from app.database import transaction
from app.errors import Invalid, NotFound, Unavailable
from app.principal import Principal, authorize
from app.relations.leases import Leases
from app.validation import validation_problem
from models.analytics import Analytics, AnalyticsContent, DuplicateMessages
from models.base import Raw, now, parse_id
from models.user import User
from models.values import Json

MAX_EVENTS: Final = 500
_RACES: Final = 20
_ONE: Final = TypeAdapter(AnalyticsContent)
_MANY: Final = TypeAdapter(list[AnalyticsContent])


async def ingest(principal: Principal, body: Json, leases: Leases, apps: AppRegistry) -> dict[str, int]:
    """Store one event or up to 500, all or none of them acceptable.

    Args:
        principal: who sends them; a user's token sends that user's own.
        body: an event, or an array of events.
        leases: of this process.
        apps: what is known of the apps.

    Returns:
        `{"accepted", "duplicates", "quarantined"}`: how many were stored now, were stored before, were set aside.

    Raises:
        Invalid: an event is not acceptable; `errors` names the fields; nothing is stored.
        NotFound: the events are another user's or another app's than the caller's.
    """
    many = isinstance(body, list)
    contents = _checked(principal, body, many=many)
    users = [_user_of(principal, content) for content in contents]
    await _authorize(principal, contents, users, apps)
    received = now()
    rows: list[Raw] = [
        Analytics.row(content, user_id, received) for content, user_id in zip(contents, users, strict=True)
    ]

    async def see_users() -> None:
        await _see_users(leases, users, many=many)

    duplicates = await _store(rows, see_users)
    return {"accepted": len(rows) - duplicates, "duplicates": duplicates, "quarantined": 0}


async def _store(rows: list[Raw], hold_leases: Callable[[], Awaitable[None]]) -> int:
    """Store the events of a request, all at once or none; how many of them were stored before, or come twice."""
    if len(rows) == 1:
        await hold_leases()
        return await Analytics.insert_row(rows[0])
    once = _first_of_each(rows)
    if not once:
        return 0
    for attempt in range(_RACES):
        try:
            stored = await transaction(partial(_insert_new, once, hold_leases, attempt > 0))
        except DuplicateMessages:
            continue  # the transaction is gone: look what is stored in a new one
        return len(rows) - stored
    raise Unavailable("the same events are being stored by other requests")


async def _insert_new(
    rows: list[Raw], hold_leases: Callable[[], Awaitable[None]], look: bool, session: AsyncClientSession
) -> int:
    """Insert what is not stored; how many that is. The first try does not look, since events are seldom sent twice."""
    new = await Analytics.without_stored(rows, session=session) if look else rows
    if new:
        await hold_leases()
        await Analytics.insert_rows(new, session=session)
    return len(new)


def _first_of_each(rows: list[Raw]) -> list[Raw]:
    """The rows, of those with one `messageId` of one app the first."""
    seen: dict[Any, Raw] = {}
    for row in rows:
        seen.setdefault((row["appId"], row["messageId"]) if "messageId" in row else row["_id"], row)
    return list(seen.values())


def _checked(principal: Principal, body: Json, *, many: bool) -> list[AnalyticsContent]:
    if isinstance(body, list) and len(body) > MAX_EVENTS:
        raise Invalid.field("", "too_long", f"a request has at most {MAX_EVENTS} events")
    _default_app(principal, body)
    try:
        return _MANY.validate_python(body) if many else [_ONE.validate_python(body)]
    except ValidationError as error:
        raise validation_problem(error.errors(), "") from None


def _default_app(principal: Principal, body: Json) -> None:
    """A caller who is bound to an app need not name it."""
    if principal.app_id is None:
        return
    for event in body if isinstance(body, list) else [body]:
        if isinstance(event, dict):
            event.setdefault("appId", principal.app_id)


def _user_of(principal: Principal, content: AnalyticsContent) -> ObjectId | None:
    if content.user_id is None:
        return principal.id if principal.kind == "user" else None
    return parse_id(content.user_id) if content.user_id != "me" or principal.kind == "key" else principal.id


async def _authorize(
    principal: Principal, contents: list[AnalyticsContent], users: list[Any], apps: AppRegistry
) -> None:
    if not contents:
        authorize(principal, "events:write", user_id=principal.id if principal.kind == "user" else None)
    for app_id in {content.app_id for content in contents}:
        own = principal.id if principal.kind == "user" else None
        authorize(principal, "events:write", user_id=own, app_id=app_id)
        await apps.settings_of(app_id)
    if principal.kind == "user" and any(user_id != principal.id for user_id in users):
        raise NotFound("there is no such user")


async def _see_users(leases: Leases, users: list[ObjectId | None], *, many: bool) -> None:
    """Hold the leases on all users of a request; to be called right before its events are sent."""
    gone = await leases.hold_many(User, {user_id for user_id in users if user_id is not None})
    if gone:
        index = next(index for index, user_id in enumerate(users) if user_id in gone)
        raise Invalid.field(f"/{index}/userId" if many else "/userId", "unknown_user", "there is no such user")
