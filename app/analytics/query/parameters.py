"""What a query asks for: span, buckets, timezone, filters; and whether the caller may ask it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Final, Literal

from bson import ObjectId
from fastapi import Depends, Query, Request

from app.analytics.query.known_sets import KnownSets, known_sets
from app.analytics.query.periods import Interval, Period, zone_of
from app.analytics.query.reader import Filter
from app.analytics.rollup.slots import SLOT_MS, milliseconds, moment_of
from app.errors import Invalid
from app.identity.caller import Caller
from app.identity.principal import Principal, authorize
from app.relations.leases import leases
from app.web.validation.queries import check_span
from models.analytics import EventCategory, EventName
from models.app import AppId
from models.base import ClockTime, now, parse_id, to_milliseconds
from models.user import User

_DEFAULT_SPAN: Final = timedelta(days=30)
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_BY_MINUTE: Final = timedelta(hours=24)
_FROM: Final = (
    "Inclusive; 30 days ago if absent. Without an offset it is of `tz`: a date is that day's"
    " midnight there."
)
_TO: Final = "Exclusive; now if absent. Without an offset it is of `tz`."
Format = Annotated[
    Literal["json", "csv", "ndjson"] | None,
    Query(alias="format", description="Instead of the Accept header."),
]
Compare = Annotated[
    Literal["previous"] | None,
    Query(
        description=(
            "`previous` adds the figure of the span before, bucket by bucket, as `previous`."
        )
    ),
]


@dataclass(frozen=True, slots=True)
class Parameters:
    """A query's span and filters, and what is known of sets of people already."""

    period: Period
    which: Filter
    known: KnownSets


async def parameters(
    caller: Caller,
    request: Request,
    start: Annotated[ClockTime | None, Query(alias="from", description=_FROM)] = None,
    end: Annotated[ClockTime | None, Query(alias="to", description=_TO)] = None,
    interval: Annotated[
        Interval | None, Query(description="Width of a bucket; absent: one for the whole span.")
    ] = None,
    tz: Annotated[str, Query(max_length=64, description="IANA timezone of the buckets.")] = "UTC",
    app_id: Annotated[AppId | None, Query(alias="appId")] = None,
    user_id: Annotated[
        str | None, Query(alias="userId", description="`me` is the caller's own.")
    ] = None,
    event_name: Annotated[EventName | None, Query(alias="eventName")] = None,
    event_category: Annotated[EventCategory | None, Query(alias="eventCategory")] = None,
) -> Parameters:
    """The query as it is asked, if this caller may.

    Raises:
        Invalid: a parameter is not acceptable.
        NotFound: it is about somebody else, or another app.
    """
    user = whose(caller, user_id)
    app_id = app_id or (None if caller.is_admin else caller.app_id)
    authorize(caller, "analytics:read", user_id=user, app_id=app_id)
    period = span(start, end, interval, tz)
    # a deleted user's events are not there, though it takes a while to sweep them
    if user is not None:
        await leases(request.scope).hold(User, user)
    which = Filter(app_id, user, event_name, event_category)
    return Parameters(period, which, known_sets(request.scope))


def span(
    start: datetime | None, end: datetime | None, interval: Interval | None, tz: str
) -> Period:
    """The period, by default the last 30 days, which begin and end with a whole quarter of an hour.

    Args:
        start: inclusive; a naive one is of the timezone's clock, and so is `end`.
        end: exclusive.
        interval: width of a bucket.
        tz: IANA name of a timezone.

    Raises:
        Invalid: it ends before it begins, or has too many buckets.
    """
    zone = zone_of(tz)
    start, end = _by_clock(start, zone, "?from"), _by_clock(end, zone, "?to")
    until = end or _up(now() + timedelta(milliseconds=1))
    since = start or _down(max(until, _EARLIEST + _DEFAULT_SPAN) - _DEFAULT_SPAN)
    check_span(since, until)
    if interval == "minute":
        if start is None:
            since = until - timedelta(hours=1)
        if until - since > _LONGEST_BY_MINUTE:
            raise Invalid.field(
                "?interval", "too_many", "minutes are for spans of at most 24 hours"
            )
    return Period.of(since, until, interval, zone)


def _by_clock(moment: datetime | None, zone: tzinfo, pointer: str) -> datetime | None:
    """The moment that a clock of the zone shows, the first of two; one with an offset is as it
    is."""
    if moment is None:
        return None
    try:
        return to_milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=zone))
    except ValueError as error:
        raise Invalid.field(pointer, "out_of_range", str(error)) from None


def _down(moment: datetime) -> datetime:
    return moment_of(milliseconds(moment) // SLOT_MS * SLOT_MS)


def _up(moment: datetime) -> datetime:
    return moment_of(-(-milliseconds(moment) // SLOT_MS) * SLOT_MS)


def whose(caller: Principal, user_id: str | None) -> ObjectId | None:
    """The user whom a query is about; a user's own token asks for that user's."""
    if user_id is None:
        return caller.id if caller.kind == "user" else None
    if user_id != "me" and parse_id(user_id) is None:
        raise Invalid.field("?userId", "malformed", "not a user's id")
    return caller.resolve(user_id)


Question = Annotated[Parameters, Depends(parameters)]
