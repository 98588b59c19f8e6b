"""Routes of analytics: ingest by hot endpoints, and the queries of dashboards."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import Query, Request, Response

from app.analytics.ingest.events import ingest
from app.analytics.ingest.intake import intake
from app.analytics.ingest.libraries import library_endpoints
from app.analytics.ingest.segment_endpoints import segment_endpoints
from app.analytics.query.answers import answer, described
from app.analytics.query.journeys import funnel, retention
from app.analytics.query.live import live_rows
from app.analytics.query.parameters import Compare, Format, Question, span
from app.analytics.query.queries import active_users, count_events, error_rates, retried, top_values
from app.analytics.query.reader import Filter
from app.analytics.query.visits import sessions
from app.errors import Invalid
from app.identity.access import owner_or
from app.web.body import parse_json
from app.web.hot import Answer, HotEndpoint, HotRequest, json_answer
from app.web.openapi.answers import problems
from app.web.routing import Router
from models.analytics import EventName

EVENTS_PATH: Final = "/v1/analytics/events"
_TIME: Final = "2026-11-20T00:00:00.000Z"

router = Router(prefix="/v1/analytics", tags=["Analytics"])


async def _ingest(request: HotRequest) -> Answer:
    principal = await request.caller()
    body = parse_json(await request.body())
    counts = await ingest(principal, body, intake(request.scope))
    return json_answer(200, counts)


def hot_endpoints() -> list[HotEndpoint]:
    """What is served before FastAPI is asked."""
    return [
        HotEndpoint(EVENTS_PATH, {"POST": _ingest}, {"POST": owner_or("events:write")}),
        *segment_endpoints(),
        *library_endpoints(),
    ]


def _query(
    name: str, operation: str, summary: str, example: dict[str, Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A route that answers flat rows, such as this one."""
    return router.get(
        name,
        access=owner_or("analytics:read"),
        operation_id=operation,
        summary=summary,
        response_class=Response,
        responses=described(example) | problems(406),
    )


@_query(
    "/event-counts", "countEvents", "Count events by name", {"eventName": "signup", "count": 42}
)
async def event_counts(
    chosen: Question, request: Request, compare: Compare = None, form: Format = None
) -> Response:
    """Rows `{"time"?, "eventName", "count", "previous"?}`, most frequent first, every bucket
    filled."""
    return await _counts(chosen, "eventName", request, compare, form)


@_query(
    "/category-counts",
    "countCategories",
    "Count events by category",
    {"eventCategory": "conversion", "count": 42},
)
async def category_counts(
    chosen: Question, request: Request, compare: Compare = None, form: Format = None
) -> Response:
    """Rows `{"time"?, "eventCategory", "count", "previous"?}`, most frequent first, every bucket
    filled."""
    return await _counts(chosen, "eventCategory", request, compare, form)


async def _counts(
    chosen: Question, field: str, request: Request, compare: str | None, form: str | None
) -> Response:
    found = await retried(
        lambda: count_events(chosen.period, chosen.which, field, previous=compare is not None),
    )
    return answer(found, request, form)


@_query("/active-users", "countActiveUsers", "Count people", {"time": _TIME, "activeUsers": 17})
async def get_active_users(
    chosen: Question,
    request: Request,
    compare: Compare = None,
    rolling: Annotated[
        bool,
        Query(
            description=(
                "With `interval=day`: add `weekly` and `monthly`, the people of 7 and 30 days."
            )
        ),
    ] = False,
    form: Format = None,
) -> Response:
    """Different people per bucket (by day DAU, by week WAU, by month MAU): users, and ids that are
    no user's (yet)."""
    if rolling and chosen.period.interval != "day":
        raise Invalid.field("?rolling", "conflicting", "rolling is for interval=day")
    found = await retried(
        lambda: active_users(
            chosen.period,
            chosen.which,
            chosen.known,
            previous=compare is not None,
            rolling=rolling,
        )
    )
    return answer(found, request, form)


@_query(
    "/error-rate",
    "getErrorRate",
    "Share of errors",
    {"time": _TIME, "events": 200, "errors": 4, "errorRate": 0.02},
)
async def get_error_rate(
    chosen: Question, request: Request, compare: Compare = None, form: Format = None
) -> Response:
    """Events of the category error, of all events."""
    found = await retried(
        lambda: error_rates(chosen.period, chosen.which, previous=compare is not None)
    )
    return answer(found, request, form)


@_query(
    "/top",
    "getTop",
    "Most frequent events, or values of a property",
    {"eventName": "opened", "count": 9, "users": 4},
)
async def get_top(
    chosen: Question,
    request: Request,
    name: Annotated[
        str | None,
        Query(
            alias="property",
            min_length=1,
            max_length=64,
            description="A property that the app declares.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 10,
    form: Format = None,
) -> Response:
    """Rows `{"eventName", "count", "users"}`; with `property=`, `{"value", "count", "error"}`.

    `error` is by how many `count` may be too low: of a day each event's 500 most frequent values
    are counted.
    """
    found = await retried(
        lambda: top_values(chosen.period, chosen.which, name, limit, chosen.known)
    )
    return answer(found, request, form)


_SESSIONS: Final = {
    "time": _TIME,
    "sessions": 12,
    "averageSeconds": 95.5,
    "eventsPerSession": 4.2,
    "bounceRate": 0.25,
}


@_query("/sessions", "getSessions", "Sessions", _SESSIONS)
async def get_sessions(
    chosen: Question, request: Request, compare: Compare = None, form: Format = None
) -> Response:
    """Sessions by when they began. Filtered by `appId` and `userId` only."""
    which = chosen.which
    if which.event_name or which.event_category:
        raise Invalid.field(
            "?eventName", "conflicting", "sessions are filtered by appId and userId only"
        )
    found = await retried(lambda: sessions(chosen.period, which, previous=compare is not None))
    return answer(found, request, form)


_STEP: Final = {
    "step": 1,
    "eventName": "signup",
    "users": 20,
    "fromFirst": 1.0,
    "fromPrevious": 1.0,
    "medianSeconds": None,
}


@_query("/funnel", "getFunnel", "A funnel", _STEP)
async def get_funnel(
    chosen: Question,
    request: Request,
    step: Annotated[
        list[EventName],
        Query(min_length=2, max_length=10, description="Event names in order; repeat it."),
    ],
    within: Annotated[
        int, Query(ge=1, le=90 * 86_400, description="Seconds from the first step to the last.")
    ] = 604_800,
    form: Format = None,
) -> Response:
    """How many people did the steps in order, the first within the span. Counted from raw events.
    No `eventName`."""
    if chosen.which.event_name:
        raise Invalid.field("?eventName", "conflicting", "the events of a funnel are its steps")
    found = await retried(
        lambda: funnel(chosen.period, chosen.which, step, timedelta(seconds=within))
    )
    return answer(found, request, form)


@_query(
    "/retention",
    "getRetention",
    "Retention by cohort",
    {"cohort": _TIME, "period": 1, "users": 9, "share": 0.45},
)
async def get_retention(
    chosen: Question,
    request: Request,
    returning: Annotated[
        EventName | None,
        Query(description="By which event people come back; absent: by those that made them new."),
    ] = None,
    form: Format = None,
) -> Response:
    """Rows of a cohort (people who are new in a bucket; by default a week) and a later period: how
    many came back."""
    period = chosen.period
    if period.interval not in ("day", "week", "month"):
        if period.interval is not None:
            raise Invalid.field("?interval", "out_of_range", "day, week or month")
        period = span(period.start, period.end, "week", str(period.zone))
    if len(period.buckets) > 100:
        raise Invalid.field("?interval", "too_many", "retention has at most 100 periods")
    which = chosen.which
    back = which if returning is None else Filter(which.app_id, which.user_id, returning, None)
    found = await retried(lambda: retention(period, which, back, chosen.known))
    return answer(found, request, form)


@_query(
    "/live", "getLive", "The last minutes", {"time": _TIME, "events": 30, "errors": 1, "users": 7}
)
async def get_live(
    chosen: Question,
    request: Request,
    minutes: Annotated[int, Query(ge=1, le=120)] = 30,
    form: Format = None,
) -> Response:
    """Events, errors and people of each of the last minutes, this one among them; `from`, `to` are
    not heeded."""
    return answer(await retried(lambda: live_rows(chosen.which, minutes)), request, form)
