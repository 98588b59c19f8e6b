"""Routes of analytics: ingest by a hot endpoint, and the two counts of seed 002."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from bson import ObjectId
from fastapi import APIRouter, Depends, Query, Request, Response

from app.analytics.ingest import ingest
from app.analytics.table import csv_table
from app.apps.registry import app_registry
from app.body import dump_json, parse_json
from app.errors import Invalid, NotAcceptable
from app.hot import Answer, HotEndpoint, HotRequest, json_answer
from app.http import StrictRoute, problems
from app.principal import Caller, Principal, authorize
from app.relations.leases import leases
from models.analytics import Analytics, EventCategory, EventName
from models.app import AppId
from models.base import Raw, Timestamp, now, parse_id, rfc3339
from models.user import User

EVENTS_PATH: Final = "/v1/analytics/events"
_DEFAULT_SPAN: Final = timedelta(days=30)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

router = APIRouter(prefix="/v1/analytics", route_class=StrictRoute, tags=["Analytics"])


async def _ingest(request: HotRequest) -> Answer:
    principal = await request.caller()
    body = parse_json(await request.body())
    counts = await ingest(principal, body, leases(request.scope), app_registry(request.scope))
    return json_answer(200, counts)


def hot_endpoints() -> list[HotEndpoint]:
    """What is served before FastAPI is asked."""
    return [HotEndpoint(EVENTS_PATH, {"POST": _ingest})]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a query counts."""

    start: datetime
    end: datetime
    user_id: ObjectId | None
    equal: dict[str, str | None]


async def _filter(
    caller: Caller,
    request: Request,
    start: Annotated[
        Timestamp | None, Query(alias="from", description="Inclusive; 30 days before `to` if absent.")
    ] = None,
    end: Annotated[Timestamp | None, Query(alias="to", description="Exclusive; now if absent.")] = None,
    app_id: Annotated[AppId | None, Query(alias="appId")] = None,
    user_id: Annotated[str | None, Query(alias="userId", description="`me` is the caller's own.")] = None,
    event_name: Annotated[EventName | None, Query(alias="eventName")] = None,
    event_category: Annotated[EventCategory | None, Query(alias="eventCategory")] = None,
) -> Filter:
    user = _whose(caller, user_id)
    app_id = app_id or (None if caller.is_admin else caller.app_id)
    authorize(caller, "analytics:read", user_id=user, app_id=app_id)
    until = end or now() + timedelta(milliseconds=1)
    since = start or max(until, _EARLIEST) - _DEFAULT_SPAN
    if since > until:
        raise Invalid.field("?from", "out_of_range", "from is later than to")
    if user is not None:  # a deleted user's events are not there, though it takes a while to sweep them
        await leases(request.scope).hold(User, user)
    return Filter(since, until, user, {"appId": app_id, "eventName": event_name, "eventCategory": event_category})


def _whose(caller: Principal, user_id: str | None) -> ObjectId | None:
    if user_id is None:
        return caller.id if caller.kind == "user" else None
    if user_id != "me" and parse_id(user_id) is None:
        raise Invalid.field("?userId", "malformed", "not a user's id")
    return caller.resolve(user_id)


Filtered = Annotated[Filter, Depends(_filter)]
Count = Callable[..., Awaitable[list[Raw]]]


async def _answer(counts: Count, field: str, chosen: Filter, request: Request) -> Response:
    rows = await counts(chosen.start, chosen.end, chosen.user_id, **chosen.equal)
    headers = {"Satchel-As-Of": rfc3339(now()), "Vary": "Accept"}
    accept = request.headers.get("accept", "*/*")
    if "json" in accept or "*" in accept:
        return Response(dump_json(rows), media_type="application/json", headers=headers)
    if "text/csv" in accept:
        return Response(csv_table([field, "count"], rows), media_type="text/csv", headers=headers)
    raise NotAcceptable("application/json and text/csv can be sent")


def _rows(field: str) -> dict[int | str, dict[str, Any]]:
    schema = {
        "type": "array",
        "items": {
            "type": "object",
            "required": [field, "count"],
            "properties": {field: {"type": "string"}, "count": {"type": "integer"}},
        },
    }
    example = [{field: "signup" if field == "eventName" else "conversion", "count": 42}]
    content = {"application/json": {"schema": schema, "example": example}, "text/csv": {"schema": {"type": "string"}}}
    return {200: {"description": "Flat rows, most frequent first", "content": content}}


@router.get(
    "/event-counts",
    operation_id="countEvents",
    summary="Count events by name",
    response_class=Response,
    responses=_rows("eventName") | problems(406),
)
async def event_counts(chosen: Filtered, request: Request) -> Response:
    """Rows `{"eventName", "count"}`, as JSON or by `Accept: text/csv`."""
    return await _answer(Analytics.get_event_counts, "eventName", chosen, request)


@router.get(
    "/category-counts",
    operation_id="countCategories",
    summary="Count events by category",
    response_class=Response,
    responses=_rows("eventCategory") | problems(406),
)
async def category_counts(chosen: Filtered, request: Request) -> Response:
    """Rows `{"eventCategory", "count"}`, as JSON or by `Accept: text/csv`."""
    return await _answer(Analytics.get_category_counts, "eventCategory", chosen, request)
