"""Routes of activity: note what a user did, list it newest first."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from beanie import PydanticObjectId
from bson import ObjectId
from fastapi import Query, Request, Response
from pymongo.asynchronous.client_session import AsyncClientSession

from app.activity.examples import ACTIVITY, ACTIVITY_SHOWN
from app.apps.registry import app_registry
from app.errors import NotFound
from app.identity.access import owner_or
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.relations.leases import Lease, leases
from app.shown.documents import Embedded, UserView, View
from app.users.service import expand_user
from app.web.cursors import decode_cursor
from app.web.etags import etag
from app.web.idempotency import Claim, IdempotencyClaim, once
from app.web.openapi.answers import Expand, problems
from app.web.openapi.examples import page_of
from app.web.paging import Cursor, Limit, Page, page
from app.web.routing import Router
from app.web.validation.queries import check_span
from models.activity import Activity, ActivityContent, EventType, SessionId
from models.app import AppId
from models.base import Timestamp, now
from models.user import User

router = Router(prefix="/v1/users/{userId}/activity", tags=["Activity"])


class ActivityView(ActivityContent, View):
    """An activity; `user` where it was asked for by `expand`."""

    user_id: PydanticObjectId
    timestamp: Timestamp
    user: Embedded = None


@router.post(
    "",
    access=owner_or("data:write"),
    status_code=201,
    operation_id="createActivity",
    summary="Note an activity",
    responses=problems(409),
)
async def create(
    userId: str,
    content: Annotated[ActivityContent, ACTIVITY],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> ActivityView:
    """Kept for 90 days from its `timestamp`, which is now where it is left out."""
    user_id = caller.resolve(userId)
    authorize(caller, "data:write", user_id=user_id, app_id=content.app_id)
    await app_registry(request.scope).settings_of(content.app_id)
    activity = await _store(Lease(leases(request.scope), User, user_id), content, claim)
    response.headers["ETag"] = etag(activity.version, activity.id)
    return ActivityView.model_validate(activity)


async def _store(lease: Lease, content: ActivityContent, claim: Claim | None) -> Activity:
    user_id = lease.parent_id
    if claim is None:
        return await lease.under(lambda: Activity.create_activity(user_id, content))

    async def work(session: AsyncClientSession, activity_id: ObjectId) -> None:
        activity = Activity(id=activity_id, user_id=user_id, **content.model_dump(by_alias=False))
        await lease.under(lambda: activity.add(session))

    done = await once(claim, 201, work)
    row = await Activity.raw().find_one({"_id": done.resource_id})
    if row is None:
        raise NotFound("what this request made is gone")
    return Activity.from_stored(row)


@router.get(
    "",
    access=owner_or("data:read"),
    operation_id="listActivity",
    summary="List a user's activity",
    responses=problems() | page_of(ACTIVITY_SHOWN),
)
async def list_activity(
    userId: str,
    caller: Caller,
    request: Request,
    hours: Annotated[
        float | None, Query(gt=0, le=90 * 24, allow_inf_nan=False, description="The last hours.")
    ] = None,
    start: Annotated[Timestamp | None, Query(alias="from", description="Inclusive.")] = None,
    end: Annotated[Timestamp | None, Query(alias="to", description="Exclusive.")] = None,
    app_id: Annotated[AppId | None, Query(alias="appId")] = None,
    event_type: Annotated[EventType | None, Query(alias="eventType")] = None,
    session_id: Annotated[SessionId | None, Query(alias="sessionId")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    expand: Expand = None,
) -> Page[ActivityView]:
    """The newest first; nothing older than 90 days."""
    check_span(start, end)
    user_id = caller.resolve(userId)
    app_id = app_id or (None if caller.is_admin else caller.app_id)
    authorize(caller, "data:read", user_id=user_id, app_id=app_id)
    if expand:
        authorize(caller, "users:read", user_id=user_id)
    await leases(request.scope).hold(User, user_id)
    equal = {"appId": app_id, "eventType": event_type, "sessionId": session_id}
    where = {name: value for name, value in equal.items() if value is not None}
    after: Any = decode_cursor(cursor, datetime, ObjectId)
    activities = await Activity.find_by_user_id(
        user_id, limit + 1, where=where, start=_later(start, hours), end=end, after=after
    )
    items, following = page(activities, limit, lambda item: (item.timestamp, item.id))
    views = [ActivityView.model_validate(item) for item in items]
    if expand and views:
        views = await _with_user(views, user_id)
    return Page(items=views, next_cursor=following)


async def _with_user(views: list[ActivityView], user_id: ObjectId) -> list[ActivityView]:
    user = UserView.model_validate(await expand_user(user_id))
    return [view.model_copy(update={"user": user}) for view in views]


def _later(start: datetime | None, hours: float | None) -> datetime | None:
    since = None if hours is None else now() - timedelta(hours=hours)
    return max(start, since) if start and since else start or since
