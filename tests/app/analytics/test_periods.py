"""Buckets of any timezone, through every kind of change of its clock."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from app.analytics.query.periods import Interval, Period
from app.analytics.rollup.slots import SLOT_MS, nodes
from app.errors import Invalid
from models.day import LEVELS, SLOTS
from tests.app.analytics.truth import CLOCK_CHANGES, ZONES, bucket


@pytest.mark.parametrize(
    "zone", [*ZONES, "America/Havana", "America/Santiago", "Africa/Cairo", "Pacific/Apia"]
)
@pytest.mark.parametrize("around", CLOCK_CHANGES, ids=lambda day: f"{day:%b%d}")
def test_every_moment_is_in_the_bucket_that_the_local_clock_says(
    zone: str, around: datetime
) -> None:
    start, end = around - timedelta(days=2), around + timedelta(days=2)
    for interval in ("hour", "day"):
        period = Period.of(start, end, interval, ZoneInfo(zone))  # type: ignore[arg-type]
        assert period.buckets[0].start == int(start.timestamp() * 1000)
        for before, after in zip(period.buckets, period.buckets[1:], strict=False):
            assert before.end == after.start  # no gap, no overlap
            assert after.start % SLOT_MS == 0
        moment = start
        while moment < end:
            number = period.bucket_at(int(moment.timestamp() * 1000))
            assert number is not None
            assert period.buckets[number].time == bucket(moment, zone, interval)
            moment += timedelta(minutes=15)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29), 23),
        ("Europe/Berlin", datetime(2026, 10, 25), 25),
        ("America/New_York", datetime(2026, 3, 8), 23),
        ("Australia/Lord_Howe", datetime(2026, 10, 4), 23.5),
        ("Australia/Lord_Howe", datetime(2026, 4, 5), 24.5),
        ("Asia/Kathmandu", datetime(2026, 10, 25), 24),
    ],
)
def test_days_are_as_long_as_they_are(zone: str, day: datetime, hours: float) -> None:
    start = day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    period = Period.of(start, start + timedelta(hours=hours), "day", ZoneInfo(zone))
    assert [(each.end - each.start) / 3_600_000 for each in period.buckets] == [hours]


def test_months_and_weeks_begin_where_they_do() -> None:
    period = Period.of(
        datetime(2026, 1, 31, tzinfo=UTC),
        datetime(2026, 3, 2, tzinfo=UTC),
        "month",
        ZoneInfo("UTC"),
    )
    assert [f"{each.time:%m-%d}" for each in period.buckets] == ["01-01", "02-01", "03-01"]
    weeks = Period.of(
        datetime(2026, 11, 21, tzinfo=UTC),
        datetime(2026, 11, 30, tzinfo=UTC),
        "week",
        ZoneInfo("UTC"),
    )
    assert [f"{each.time:%a %d}" for each in weeks.buckets] == ["Mon 16", "Mon 23"]
    assert [f"{each.time:%d}" for each in weeks.previous().buckets] == ["02", "09"]


@pytest.mark.parametrize(
    ("first", "last"), [(0, 96), (5, 300), (-100, 3), (7, 8), (92, 96 * 31 - 4), (3, 3)]
)
def test_sets_cover_every_slot_once_and_are_few(first: int, last: int) -> None:
    found = nodes(first, last)
    covered = [
        day * SLOTS + group * LEVELS[level] + slot
        for level, day, group in found
        for slot in range(LEVELS[level])
    ]
    assert covered == list(range(first, last))
    assert len(found) <= 26 + (last - first) // SLOTS


class MeanTime(tzinfo):
    """Local mean time of Berlin, which counts how often it is asked."""

    asked = 0

    def utcoffset(self, moment: datetime | None) -> timedelta:
        self.asked += 1
        assert self.asked < 1000
        return timedelta(minutes=53, seconds=28)

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta()


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
def test_a_clock_of_no_whole_quarters_is_refused_without_a_search(interval: Interval) -> None:
    start = datetime(1890, 1, 1, tzinfo=UTC)
    with pytest.raises(Invalid) as refused:
        Period.of(start, start + timedelta(days=1), interval, MeanTime())
    assert [(error["pointer"], error["code"]) for error in refused.value.errors] == [
        ("?tz", "out_of_range")
    ]


@pytest.mark.parametrize(
    ("zone", "year"),
    [("Europe/Berlin", 1890), ("Africa/Monrovia", 1971), ("Europe/Amsterdam", 1920)],
)
def test_a_timezone_is_refused_for_the_years_of_its_odd_clock_alone(zone: str, year: int) -> None:
    odd, even = datetime(year, 6, 1, tzinfo=UTC), datetime(1973, 6, 1, tzinfo=UTC)
    assert len(Period.of(even, even + timedelta(days=1), "hour", ZoneInfo(zone)).buckets) == 24
    with pytest.raises(Invalid) as refused:
        Period.of(odd, odd + timedelta(days=1), "hour", ZoneInfo(zone))
    assert refused.value.errors[0]["pointer"] == "?tz"
    assert len(Period.of(odd, odd + timedelta(days=1), None, ZoneInfo(zone)).buckets) == 1
