"""Ingest: check the events of a request as a whole, see that their users exist, store each message once."""

from typing import Any, Final

from bson import ObjectId
from pydantic import TypeAdapter, ValidationError

from app.apps.registry import AppRegistry
from app.errors import Invalid, NotFound
from app.principal import Principal, authorize
from app.relations.leases import Leases
from app.validation import validation_problem
from models.analytics import Analytics, AnalyticsContent
from models.base import Raw, now, parse_id
from models.user import User
from models.values import Json

MAX_EVENTS: Final = 500
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
    await _see_users(leases, users, many=many)
    duplicates = await Analytics.insert_rows(rows) if rows else 0
    return {"accepted": len(rows) - duplicates, "duplicates": duplicates, "quarantined": 0}


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
