"""`compare=previous`: bucket by bucket, cut ones with equally cut ones, days with the same days of
the week."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.analytics.query.periods import Period
from tests.app.analytics.truth import ZONES
from tests.cast import Cast
from tests.factories.asking import ask, happen

HOUR = 3_600_000
QUARTERS = st.integers(1, 4 * 24 * 40)


@given(
    st.sampled_from(ZONES),
    st.sampled_from(["minute", "hour", "day", "week", "month"]),
    st.integers(0, 40_000),
    QUARTERS,
)
def test_each_bucket_is_compared_with_as_long_a_part(
    zone: str, interval: Any, since: int, long: int
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=15 * since)
    period = Period.of(
        start,
        start + timedelta(minutes=min(long, 96) if interval == "minute" else 15 * long),
        interval,
        ZoneInfo(zone),
    )
    before = period.previous()
    assert len(before.buckets) == len(period.buckets)
    assert before.buckets[-1].end <= period.buckets[0].start
    for now, then in zip(period.buckets, before.buckets, strict=True):
        assert then.start <= then.end
        local, former = now.time.astimezone(period.zone), then.time.astimezone(period.zone)
        if interval in ("day", "week"):
            assert local.weekday() == former.weekday()
        if interval in ("hour", "minute"):
            assert abs((now.end - now.start) - (then.end - then.start)) <= (
                HOUR if interval == "hour" else 0
            )
        if interval in ("day", "week") and local.utcoffset() == former.utcoffset():
            assert abs((now.end - now.start) - (then.end - then.start)) in (0, HOUR // 2, HOUR)


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
async def test_a_cut_bucket_is_compared_with_an_equally_cut_one(cast: Cast, interval: str) -> None:
    step = {"hour": 1, "day": 7 * 24, "week": 7 * 24, "month": 30 * 24}[
        interval
    ]  # September has 30 days
    cut = {"hour": 0.5, "day": 6, "week": 30, "month": 24}[interval]
    begins = {"hour": 0, "day": 12, "week": 60, "month": -23.5 * 24}[
        interval
    ]  # after START, a Saturday's noon
    for start in (begins, begins - step):
        await happen(
            cast.owner,
            (start + cut / 2, "seen"),
            (start + cut / 2, "seen"),
            (start + cut * 0.9, "seen"),
        )
    await happen(
        cast.owner, (begins - step + cut * 1.2, "seen")
    )  # in the former bucket, beyond the cut
    (row,) = await ask(
        cast.admin,
        "event-counts",
        begins,
        begins + cut,
        interval=interval,
        compare="previous",
        eventName="seen",
    )
    assert (row["count"], row["previous"]) == (3, 3)
