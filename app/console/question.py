"""What the console shows, as its address says it: range, interval, timezone, filters, the funnel's
steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from urllib.parse import urlencode

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from app.analytics.query.parameters import span
from app.analytics.query.periods import Interval, Period
from app.analytics.query.reader import Filter
from app.analytics.rollup.slots import SLOT_MS, milliseconds, moment_of
from app.errors import Problem
from app.identity.principal import Principal
from models.analytics import EventCategory
from models.base import ClockTime, now, rfc3339

RANGES: Final = {
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
INTERVALS: Final[dict[str, Interval]] = {"24h": "hour", "7d": "day", "30d": "day", "90d": "week"}
CATEGORIES: Final = get_args(EventCategory)
KEPT: Final = (
    "range",
    "from",
    "to",
    "interval",
    "tz",
    "appId",
    "eventName",
    "eventCategory",
    "step",
)
_TIME: Final = TypeAdapter(ClockTime)
_SPAN: Final = ("range", "from", "to", "interval")
_FAULTY: Final = ((), ("interval",), ("tz",), ("interval", "tz"), _SPAN, (*_SPAN, "tz"))
"""What is left out of an address that makes no sense, until the rest does."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A view of the console.

    Attributes:
        range: `24h`, `7d`, `30d`, `90d`, or `custom` with `from` and `to`.
        period: the span in buckets.
        tz: IANA name.
        which: the filters.
        steps: the funnel's steps, none where the page is to choose.
        query: the address's parameters, for links.
        complaint: what was wrong with the address; that part of it is left out.
    """

    range: str
    period: Period
    tz: str
    which: Filter
    steps: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    complaint: str | None = None

    def link(self, **changes: str | Sequence[str] | None) -> str:
        """The address of this view with some parameters changed; None takes one away, a list
        repeats one."""
        kept = [(name, value) for name, value in self.query if name not in changes]
        added = [(name, value) for name, value in changes.items() if value]
        return "/console?" + urlencode([*kept, *added], doseq=True)

    def export(self, panel: str, form: str) -> str:
        """The address of a panel's rows, of exactly this span."""
        names = ("eventName", "eventCategory", "appId")
        fields = [(name, value) for name, value in self.query if name in names]
        fields += [
            ("tz", self.tz),
            ("from", rfc3339(self.period.start)),
            ("to", rfc3339(self.period.end)),
        ]
        fields += [("step", step) for step in self.steps if panel == "funnel"]
        if self.period.interval:
            fields.append(("interval", self.period.interval))
        return f"/console/export/{panel}?" + urlencode([*fields, ("format", form)])

    @property
    def filtered(self) -> bool:
        """Whether only some events are shown."""
        return bool(self.by_event or self.which.app_id)

    @property
    def by_event(self) -> bool:
        """Whether only events of one name or category are shown."""
        return bool(self.which.event_name or self.which.event_category)

    def clock(self, moment: datetime, form: str) -> str:
        """A moment by the page's one clock, that of its timezone."""
        return moment.astimezone(self.period.zone).strftime(form)

    def written(self, moment: datetime) -> str:
        """A moment by the page's clock as an address has it, its offset with it."""
        return moment.astimezone(self.period.zone).isoformat(
            timespec="seconds" if moment.second else "minutes"
        )

    def parts(self, period: Period, moment: datetime) -> dict[datetime, str]:
        """The buckets that are not shown whole, by their times, and which part of each is.

        Args:
            period: in buckets; this view's own, or its cohorts'.
            moment: now: a bucket that ends later is there so far.
        """
        form = "%H:%M" if period.interval in ("hour", "minute") else "%d %b %H:%M"
        found = {}
        for bucket, end in zip(period.buckets, period.ends(), strict=False):
            said = []
            if moment_of(bucket.start) > bucket.time:
                said.append(f"from {self.clock(moment_of(bucket.start), form)}")
            if moment_of(bucket.end) < min(end, moment):
                said.append(f"until {self.clock(moment_of(bucket.end), form)}")
            elif end > moment:
                said.append("so far")
            if said:
                found[bucket.time] = " ".join(said)
        return found


def shown(request: Request, principal: Principal) -> Shown:
    """The view that an address asks for; the default one where it asks for nonsense."""
    fields = dict(request.query_params)
    steps = tuple(step for step in request.query_params.getlist("step") if step.strip())[:10]
    pairs = tuple(
        (name, value)
        for name, value in request.query_params.multi_items()
        if name in KEPT and value
    )
    complaint = None
    for (
        faulty
    ) in _FAULTY:  # the least that makes sense of the rest is left out: one fault costs no filter
        kept = {name: value for name, value in fields.items() if name not in faulty}
        try:
            return _shown(
                kept, steps, [pair for pair in pairs if pair[0] not in faulty], principal, complaint
            )
        except (Problem, ValidationError) as error:
            said = error.detail if isinstance(error, Problem) else None
            complaint = complaint or said or "a time or a filter is malformed"
    return default_view(principal, complaint)


def default_view(principal: Principal, complaint: str | None) -> Shown:
    """The view that is shown instead of what an address asks for, and why."""
    app = {"appId": principal.app_id} if principal.app_id else {}
    return _shown(app, (), (), principal, complaint or "the address is malformed")


def _shown(
    fields: Mapping[str, Any],
    steps: tuple[str, ...],
    pairs: Sequence[tuple[str, str]],
    principal: Principal,
    complaint: str | None = None,
) -> Shown:
    tz = fields.get("tz") or "UTC"
    chosen = fields.get("range") or ("custom" if fields.get("from") else "7d")
    interval = fields.get("interval") or INTERVALS.get(chosen, "day")
    if interval not in get_args(Interval):
        interval = "day"
    if chosen in RANGES:
        end = moment_of((milliseconds(now()) // SLOT_MS + 1) * SLOT_MS)
        start = end - RANGES[chosen]
    else:
        chosen = "custom"
        start = _TIME.validate_python(fields.get("from") or rfc3339(now() - RANGES["7d"]))
        end = _TIME.validate_python(fields.get("to") or rfc3339(now()))
    category = fields.get("eventCategory") or None
    which = Filter(
        principal.app_id or fields.get("appId") or None,
        None,
        fields.get("eventName") or None,
        category if category in CATEGORIES else None,
    )
    return Shown(chosen, span(start, end, interval, tz), tz, which, steps, tuple(pairs), complaint)
