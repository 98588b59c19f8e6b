"""What the console's panels show: the same queries as the API's, side by side."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from app.analytics.query.journeys import funnel, retention
from app.analytics.query.known_sets import KnownSets
from app.analytics.query.live import latest_events
from app.analytics.query.parameters import span
from app.analytics.query.periods import Interval, Period, floor
from app.analytics.query.queries import (
    Rows,
    active_users,
    count_events,
    error_rates,
    retried,
    top_values,
)
from app.analytics.query.reader import MOST_RAW, Filter, opened_view
from app.analytics.query.visits import sessions
from app.console.question import Shown
from app.errors import Invalid
from models.analytics import Analytics
from models.base import Raw, now
from models.day import CountDay
from models.quarantine import QuarantinedEvent
from models.rollup_state import BEGINNING

_FEED: Final = 20
_LONGEST_COHORTS: Final = timedelta(days=180)
WITHIN: Final = timedelta(days=7)


@dataclass(slots=True)
class Figure:
    """One number with that of the span before; `worse` where growth is bad, `of` where it heeds no
    filter of events."""

    name: str
    value: float
    previous: float
    kind: str = "count"
    worse: bool = False
    of: str = ""

    @property
    def text(self) -> str:
        """The value as it is read."""
        return _read(self.value, self.kind)

    @property
    def before(self) -> str:
        """The value before."""
        return _read(self.previous, self.kind)

    @property
    def change(self) -> str:
        """`+12 %`, or what is to be said where there was nothing."""
        if not self.previous:
            return "none before" if self.value else "as before"
        share = (self.value - self.previous) / self.previous * 100
        return f"{share:+.0f} %".replace("-", "−") if round(share) else "as before"

    @property
    def trend(self) -> str:
        """`better`, `worse` or `same`, for the colour."""
        if self.value == self.previous:
            return "same"
        return "worse" if (self.value > self.previous) == self.worse else "better"


def _read(value: float, kind: str) -> str:
    if kind == "share":
        return f"{value:.1%}".replace("%", " %")
    if kind == "seconds":
        if value >= 3600:
            return f"{value // 3600:.0f} h {value % 3600 // 60:.0f} min"
        return f"{value // 60:.0f} min {value % 60:.0f} s" if value >= 60 else f"{value:.0f} s"
    return f"{value:,.0f}".replace(",", "\u202f")


@dataclass(slots=True)
class Panels:
    """Everything on the page."""

    figures: list[Figure]
    categories: Rows
    users: Rows
    errors: Rows
    top: Rows
    funnel: Rows | None
    retention: Rows
    feed: list[Raw]
    health: Raw
    apps: list[str] = field(default_factory=list)
    any_events: bool = True
    no_funnel: str = ""


async def panels(view: Shown, own_app: str | None, known: KnownSets) -> Panels:
    """Ask everything that a view shows.

    Args:
        view: of the console.
        own_app: the one app that the viewer's key is bound to; None for a key that sees every app.
        known: sets of people that were read before.
    """
    whole = Period.of(view.period.start, view.period.end, None, view.period.zone)
    which, app = view.which, Filter(view.which.app_id)
    top = await retried(lambda: top_values(whole, which, None, 10, known))
    results: Any = await asyncio.gather(
        retried(lambda: count_events(view.period, which, "eventCategory")),
        retried(lambda: active_users(view.period, which, known)),
        retried(lambda: error_rates(view.period, which)),
        retried(lambda: retention(cohorts_of(view), which, which, known)),
        latest_events(which, _FEED),
        health(view.which.app_id),
        _apps(own_app),
        _figures(whole, which, app, known),
    )
    categories, users, errors, cohorts, feed, state, apps, figures = results
    reached, unreached = await _funnel(whole, app, list(view.steps))
    anything = (
        bool(top.rows)
        or await Analytics.raw().find_one(app.raw or {"appId": {"$gt": ""}}, {"_id": 1}) is not None
    )
    return Panels(
        figures,
        categories,
        users,
        errors,
        top,
        reached,
        cohorts,
        feed,
        state,
        apps,
        anything,
        unreached,
    )


async def _funnel(whole: Period, which: Filter, steps: list[str]) -> tuple[Rows | None, str]:
    """The funnel; or why there is none."""
    if len(steps) < 2:
        return None, "Name two events or more."
    try:
        return await retried(lambda: funnel(whole, which, steps, WITHIN)), ""
    except Invalid:
        return (
            None,
            (
                f"These events happened more than {MOST_RAW:,} times: choose a shorter range, or"
                " rarer events."
            ),
        )


async def _apps(own: str | None) -> list[str]:
    """Every app with events, raw or counted; the server skips through an index from one to the
    next."""
    if own is not None:
        return [own]
    named = {"appId": {"$gt": ""}}
    counted, raw = await asyncio.gather(
        CountDay.raw().distinct("appId", named), Analytics.raw().distinct("appId", named)
    )
    return sorted({*counted, *raw})


def cohorts_of(view: Shown) -> Period:
    """The buckets of cohorts that the span touches, the first one whole: days of a short span, else
    weeks."""
    start, end = view.period.start, view.period.end
    start = max(start, end - _LONGEST_COHORTS)
    interval: Interval = "day" if end - start <= timedelta(days=8) else "week"
    return span(floor(start, interval, view.period.zone), end, interval, view.tz)


async def _figures(whole: Period, which: Filter, app: Filter, known: KnownSets) -> list[Figure]:
    errors = await retried(lambda: error_rates(whole, which, previous=True))
    before = await retried(lambda: error_rates(whole.previous(), which))
    people = await retried(lambda: active_users(whole, which, known, previous=True))
    visits = await retried(lambda: sessions(whole, app, previous=True))
    earlier = await retried(lambda: sessions(whole.previous(), app))
    error, user, visit = errors.rows[0], people.rows[0], visits.rows[0]
    of = "of all events" if which != app else ""
    return [
        Figure("Events", error["events"], before.rows[0]["events"]),
        Figure("Active users", user["activeUsers"], user["previous"]),
        Figure("Sessions", visit["sessions"], visit["previous"], of=of),
        Figure(
            "Average session",
            visit["averageSeconds"],
            earlier.rows[0]["averageSeconds"],
            "seconds",
            of=of,
        ),
        Figure("Error rate", error["errorRate"], error["previous"], "share", worse=True),
    ]


async def health(app_id: str | None) -> Raw:
    """How ingest and rollups are: `asOf`, lag in seconds, what was set aside lately, what the last
    recount found."""
    async with opened_view() as view:
        state, fresh = view.state, view.freshness
    since = now() - timedelta(hours=24)
    aside = await QuarantinedEvent.raw().count_documents(
        {**Filter(app_id).raw, "receivedAt": {"$gte": since}}
    )
    latest = await QuarantinedEvent.newest(app_id, 3)
    started = state.as_of > BEGINNING
    return {
        "asOf": state.as_of if started else None,
        "lag": round(fresh.lag, 1),
        "quarantined": aside,
        "latest": [
            {"code": each.code, "detail": each.detail, "at": each.received_at} for each in latest
        ],
        "recount": state.last_recount,
    }
