"""Time spans cut into buckets: minutes to months of any timezone, changes of its clock included."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from app.analytics.rollup.slots import SLOT_MS, milliseconds, moment_of
from app.errors import Invalid

Interval = Literal["minute", "hour", "day", "week", "month"]
MOST_BUCKETS: Final = 2000
_MINUTE: Final = timedelta(minutes=1)
_SLOT: Final = timedelta(minutes=15)
_SLOTS_TO_AN_HOUR: Final = 16
"""So many at most from one full hour of a local clock to the next, a change of the clock in
between."""
_LONGEST: Final = timedelta(days=366 * 100)
_FIRST: Final = datetime(2, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""What is reckoned around a span (its days, 90 days after it) stays within the calendar."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket: where it begins by the calendar, and which part of it is asked for, in
    milliseconds since 1970."""

    time: datetime
    start: int
    end: int

    @property
    def slots(self) -> tuple[int, int]:
        """The whole slots in it, the last one exclusive."""
        first, last = -(-self.start // SLOT_MS), self.end // SLOT_MS
        return first, max(first, last)

    def cut(self, since: int = 0, to: int | None = None) -> "Bucket":
        """The part from so many milliseconds after its beginning to so many after it, as far as it
        goes."""
        begins = milliseconds(self.time)
        end = self.end if to is None else min(self.end, begins + to)
        return Bucket(self.time, min(max(self.start, begins + since), end), end)


@dataclass(frozen=True, slots=True)
class Period:
    """A time span in buckets; one bucket where no interval is asked for."""

    start: datetime
    end: datetime
    interval: Interval | None
    zone: tzinfo
    buckets: tuple[Bucket, ...]

    @classmethod
    def of(
        cls, start: datetime, end: datetime, interval: Interval | None, zone: tzinfo
    ) -> "Period":
        """The buckets of a span; the first and the last may be cut.

        Raises:
            Invalid: there would be more than 2,000, the span is longer than a century, or reaches
                beyond the calendar; or the timezone's clock differed from UTC by no whole quarters
                of an hour, as local mean time did.
        """
        try:
            return cls._of(start, end, interval, zone)
        except OverflowError:
            raise Invalid.field(
                "?from", "out_of_range", "the span reaches beyond the calendar"
            ) from None

    @classmethod
    def _of(
        cls, start: datetime, end: datetime, interval: Interval | None, zone: tzinfo
    ) -> "Period":
        if start < _FIRST or end > _LAST:
            raise Invalid.field("?from", "out_of_range", "a span lies in the years 2 to 9998")
        if end - start > _LONGEST:
            raise Invalid.field("?from", "out_of_range", "a span has at most a hundred years")
        if interval is None:
            return cls(
                start, end, None, zone, (Bucket(start, milliseconds(start), milliseconds(end)),)
            )
        edges = _edges(start, end, interval, zone)
        if interval != "minute" and any(milliseconds(edge) % SLOT_MS for edge in edges):
            raise _odd_clock()
        first, last = milliseconds(start), milliseconds(end)
        buckets = tuple(
            Bucket(edge, max(first, milliseconds(edge)), min(last, milliseconds(following)))
            for edge, following in itertools.pairwise(edges)
        )
        return cls(start, end, interval, zone, buckets or (Bucket(edges[0], first, last),))

    def previous(self) -> "Period":
        """The span before this one, in as many buckets, of which the first and the last are cut as
        these are.

        Days are compared with the same days of the week: those so many whole weeks before that none
        is in both spans.

        Raises:
            Invalid: it reaches beyond the calendar.
        """
        try:
            return self._previous()
        except OverflowError:
            raise Invalid.field(
                "?compare", "out_of_range", "the span before reaches beyond the calendar"
            ) from None

    def _previous(self) -> "Period":
        if self.interval is None:
            return Period.of(self.start - (self.end - self.start), self.start, None, self.zone)
        count = len(self.buckets)
        start = self.buckets[0].time
        for _ in range(-(-count // 7) * 7 if self.interval == "day" else count):
            start = floor(start - timedelta(milliseconds=1), self.interval, self.zone)
        end = start
        for _ in range(count):
            end = _NEXT[self.interval](end, self.zone)
        buckets = list(Period.of(start, end, self.interval, self.zone).buckets)
        first, last = self.buckets[0], self.buckets[-1]
        if last.end < milliseconds(_NEXT[self.interval](last.time, self.zone)):
            buckets[-1] = buckets[-1].cut(to=last.end - milliseconds(last.time))
        buckets[0] = buckets[0].cut(since=first.start - milliseconds(first.time))
        start, end = moment_of(buckets[0].start), moment_of(buckets[-1].end)
        return Period(start, end, self.interval, self.zone, tuple(buckets))

    def with_days_before(self, count: int) -> "Period":
        """The days of this span and so many before them, each by the calendar; as far as the
        calendar goes."""
        start = floor(self.start, "day", self.zone)
        for _ in range(count):
            start = floor(start - timedelta(milliseconds=1), "day", self.zone)
        return Period.of(max(start, _FIRST), self.end, "day", self.zone)

    def bucket_at(self, ms: int) -> int | None:
        """The number of the bucket that a moment is in; None outside of all."""
        low, high = 0, len(self.buckets)
        while low < high:
            middle = (low + high) // 2
            if self.buckets[middle].end <= ms:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self.buckets) and self.buckets[low].start <= ms else None

    def ends(self) -> list[datetime]:
        """When each bucket ends by the calendar, whatever part of it is asked for; none where there
        is no interval."""
        if self.interval is None:
            return []
        return [
            *(each.time for each in self.buckets[1:]),
            _NEXT[self.interval](self.buckets[-1].time, self.zone),
        ]

    def edges(self) -> Iterator[tuple[datetime, datetime]]:
        """The parts at either end that are no whole slots: rollups do not know them apart."""
        if not self.buckets:
            return
        start, end = self.buckets[0].start, self.buckets[-1].end
        first, last = -(-start // SLOT_MS) * SLOT_MS, end // SLOT_MS * SLOT_MS
        if first >= last:
            if start < end and (start < first or last < end):
                yield moment_of(start), moment_of(end)
            return
        if start < first:
            yield moment_of(start), moment_of(first)
        if last < end:
            yield moment_of(last), moment_of(end)


def _edges(start: datetime, end: datetime, interval: Interval, zone: tzinfo) -> list[datetime]:
    edges = [floor(start, interval, zone)]
    while edges[-1] < end:
        if len(edges) > MOST_BUCKETS:
            raise Invalid.field(
                "?interval", "too_many", f"that would be more than {MOST_BUCKETS} buckets"
            )
        edges.append(_NEXT[interval](edges[-1], zone))
    return edges


def floor(moment: datetime, interval: Interval, zone: tzinfo) -> datetime:
    """The start of the bucket that a moment is in."""
    if interval == "minute":
        return moment.replace(second=0, microsecond=0)
    if interval == "hour":
        return _full_hour(
            moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0), -_SLOT, zone
        )
    local = moment.astimezone(zone).date()
    first = {
        "day": local,
        "week": local - timedelta(days=local.weekday()),
        "month": local.replace(day=1),
    }[interval]
    return _midnight(first, zone)


def _next_hour(at: datetime, zone: tzinfo) -> datetime:
    """The next moment at which the local clock shows a full hour; a change of the clock may be in
    between."""
    return _full_hour(at + _SLOT, _SLOT, zone)


def _full_hour(at: datetime, step: timedelta, zone: tzinfo) -> datetime:
    """The first of the moments `at`, `at + step`, ... at which the local clock shows a full hour.

    Raises:
        Invalid: there is none: the clock differs from UTC by no whole quarters of an hour.
    """
    for _ in range(_SLOTS_TO_AN_HOUR):
        local = at.astimezone(zone)
        if local.minute == 0 and local.second == 0:
            return at
        at += step
    raise _odd_clock()


def _odd_clock() -> Invalid:
    detail = (
        "the clock of this timezone then differed from UTC by no whole quarters of an hour: ask"
        " in UTC"
    )
    return Invalid.field("?tz", "out_of_range", detail)


def _next_day(days: int) -> Callable[[datetime, tzinfo], datetime]:
    def following(at: datetime, zone: tzinfo) -> datetime:
        return _midnight(at.astimezone(zone).date() + timedelta(days=days), zone)

    return following


def _next_month(at: datetime, zone: tzinfo) -> datetime:
    local = at.astimezone(zone).date()
    return _midnight((local.replace(day=1) + timedelta(days=32)).replace(day=1), zone)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """When a local day begins: the first of two midnights, or the moment at which the clock jumps
    over one."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


_NEXT: Final[dict[str, Callable[[datetime, tzinfo], datetime]]] = {
    "minute": lambda at, _: at + _MINUTE,
    "hour": _next_hour,
    "day": _next_day(1),
    "week": _next_day(7),
    "month": _next_month,
}


@lru_cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_of(name: str) -> ZoneInfo:
    """The timezone with an IANA name.

    Raises:
        Invalid: there is none.
    """
    if name not in _names():
        raise Invalid.field("?tz", "unknown_timezone", "an IANA name such as Europe/Berlin")
    return ZoneInfo(name)
