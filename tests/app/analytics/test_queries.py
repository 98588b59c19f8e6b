"""What dashboards ask: buckets in any timezone, filters, comparison, people, sessions, funnels,
retention, live."""

import json
from typing import Any

import pytest

from tests.cast import Cast
from tests.factories.asking import ask, at, happen


async def test_days_of_a_timezone_are_whole_and_filled(cast: Cast, settle: Any) -> None:
    await happen(cast.owner, (9.75, "opened"), (10, "opened"), (34.75, "opened"), (35, "closed"))
    await settle()
    span = {"start": -14, "end": 59, "interval": "day"}  # midnights of Berlin: the 24th to the 27th
    rows = await ask(cast.admin, "event-counts", **span, tz="Europe/Berlin")
    days = ["2026-10-23T22:00:00.000Z", "2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z"]
    assert rows == [
        {"time": day, "eventName": name, "count": count}
        for day, counts in zip(days, [(1, 0), (2, 0), (0, 1)], strict=True)
        for name, count in zip(("opened", "closed"), counts, strict=True)
    ]


@pytest.mark.parametrize(
    ("tz", "interval", "expected"),
    [
        ("UTC", "month", ["2026-10-01T00:00:00.000Z"]),
        ("Asia/Kathmandu", "day", ["2026-10-23T18:15:00.000Z", "2026-10-24T18:15:00.000Z"]),
        ("America/New_York", "week", ["2026-10-19T04:00:00.000Z"]),
    ],
)
async def test_buckets_begin_by_the_calendar(
    cast: Cast, tz: str, interval: str, expected: list[str]
) -> None:
    await happen(cast.owner, (1, "opened"), (10, "opened"))
    rows = await ask(cast.admin, "event-counts", 0, 12, tz=tz, interval=interval)
    assert [row["time"] for row in rows] == expected
    assert sum(row["count"] for row in rows) == 2


async def test_the_hour_that_comes_twice_is_two_buckets(cast: Cast, settle: Any) -> None:
    await happen(
        cast.owner, (12.1, "opened"), (12.9, "opened"), (13.5, "opened")
    )  # 02:06, 02:54, then 02:30 again
    await settle()
    rows = await ask(cast.admin, "event-counts", 12, 14, tz="Europe/Berlin", interval="hour")
    assert [(row["time"], row["count"]) for row in rows] == [
        ("2026-10-25T00:00:00.000Z", 2),
        ("2026-10-25T01:00:00.000Z", 1),
    ]


async def test_edges_within_a_quarter_of_an_hour_are_exact(cast: Cast, settle: Any) -> None:
    await happen(cast.owner, (0.01, "a"), (0.1, "a"), (1, "a"), (2.02, "a"), (2.1, "a"))
    await settle()
    assert await ask(cast.admin, "event-counts", 0.05, 2.05) == [{"eventName": "a", "count": 3}]
    assert await ask(cast.admin, "event-counts", 0.05, 0.2) == [{"eventName": "a", "count": 1}]
    minutes = await ask(cast.admin, "event-counts", 0, 0.2, interval="minute")
    assert [row["count"] for row in minutes] == [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]


async def test_people_are_counted_once_a_bucket(cast: Cast, settle: Any) -> None:
    await happen(cast.owner, (1, "opened"), (2, "opened"), (30, "closed"))
    await happen(cast.stranger, (2, "opened"))
    await happen(cast.app_key, (3, "opened"), userId="crm-7")
    await happen(cast.app_key, (3, "opened"), anonymousId="a-1")
    await happen(cast.app_key, (3, "opened"))
    await settle()
    assert await ask(cast.admin, "active-users") == [{"activeUsers": 4}]
    assert await ask(cast.admin, "active-users", eventName="closed") == [{"activeUsers": 1}]
    assert await ask(cast.admin, "active-users", eventCategory="error") == [{"activeUsers": 0}]
    daily = await ask(cast.admin, "active-users", -12, 60, interval="day", rolling=True)
    assert [(row["activeUsers"], row["weekly"], row["monthly"]) for row in daily] == [
        (4, 4, 4),
        (1, 4, 4),
        (0, 4, 4),
    ]
    assert await ask(cast.owner, "active-users") == [{"activeUsers": 1}]


async def test_figures_are_compared_with_the_span_before(cast: Cast, settle: Any) -> None:
    await happen(
        cast.owner, (-1, "opened"), (-2, "closed"), (1, "opened"), (2, "opened"), (3, "failed")
    )
    await settle()
    assert await ask(cast.admin, "event-counts", 0, 24, compare="previous") == [
        {"eventName": "opened", "count": 2, "previous": 1},
        {"eventName": "failed", "count": 1, "previous": 0},
        {"eventName": "closed", "count": 0, "previous": 1},
    ]
    (rate,) = await ask(cast.admin, "error-rate", 0, 24, compare="previous")
    assert rate == {"events": 3, "errors": 1, "errorRate": 0.333333, "previous": 0.0}
    days = await ask(cast.admin, "active-users", -12, 12, interval="day", compare="previous")
    assert [(row["activeUsers"], row["previous"]) for row in days] == [(1, 0)]


async def test_top_events_have_their_people(cast: Cast, settle: Any) -> None:
    await happen(cast.owner, (1, "opened"), (2, "opened"), (3, "closed"))
    await happen(cast.stranger, (1, "opened"))
    await settle()
    assert await ask(cast.admin, "top", limit=1) == [
        {"eventName": "opened", "count": 3, "users": 2}
    ]


async def test_declared_properties_are_broken_down(cast: Cast, settle: Any) -> None:
    await cast.admin.put("/v1/apps/notes", json={"analyticsProperties": ["plan"]})
    for plan in ("team", "team", "free", None, 3, {"deep": 1}):
        await happen(cast.owner, (1, "bought"), eventData={"plan": plan, "secret": "x"})
    await settle()
    rows = await ask(cast.admin, "top", property="plan")
    assert rows == [
        {"value": value, "count": count, "error": 0}
        for value, count in (("team", 2), ("3", 1), ("free", 1))
    ]


async def test_a_property_that_no_app_declares_is_refused_and_counted_of_no_other_app(
    cast: Cast, settle: Any
) -> None:
    span = {"from": "2026-01-01T00:00:00Z", "property": "plan"}
    refused = await cast.admin.get("/v1/analytics/top", params=span)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "?property")
    await cast.admin.put("/v1/apps/notes", json={"analyticsProperties": ["plan"]})
    assert (
        await cast.admin.get("/v1/analytics/top", params={**span, "appId": "boats"})
    ).status_code == 422
    for app_id in ("notes", "boats"):
        await happen(cast.owner, (1, "bought"), eventData={"plan": app_id}, appId=app_id)
    fresh = await ask(cast.admin, "top", property="plan")
    await settle()
    assert (
        fresh
        == await ask(cast.admin, "top", property="plan")
        == [{"value": "notes", "count": 1, "error": 0}]
    )


async def test_sessions_are_measured(cast: Cast, settle: Any) -> None:
    await happen(cast.owner, (1, "a"), (1.5, "b"), sessionId="s-1")
    await happen(cast.owner, (5, "a"), sessionId="s-2")
    await settle()
    await happen(cast.owner, (2, "c"), sessionId="s-1")  # a later event prolongs it
    assert await ask(cast.admin, "sessions") == [
        {"sessions": 2, "averageSeconds": 1800.0, "eventsPerSession": 2.0, "bounceRate": 0.5}
    ]
    assert (await ask(cast.stranger, "sessions"))[0]["sessions"] == 0
    assert (await ask(cast.owner, "sessions"))[0]["sessions"] == 2


async def test_a_funnel_counts_steps_in_order_within_a_time(cast: Cast, settle: Any) -> None:
    await happen(cast.owner, (1, "visit"), (2, "signup"), (3, "buy"))
    await happen(cast.stranger, (1, "signup"), (2, "visit"), (3, "buy"))
    await happen(cast.app_key, (1, "visit"), (20, "signup"), userId="slow")
    await settle()
    rows = await ask(cast.admin, "funnel", step=["visit", "signup", "buy"], within=10 * 3600)
    assert [(row["step"], row["users"], row["fromFirst"]) for row in rows] == [
        (1, 3, 1.0),
        (2, 1, 0.333333),
        (3, 1, 0.333333),
    ]
    assert [row["medianSeconds"] for row in rows] == [None, 3600.0, 3600.0]
    assert [
        row["users"]
        for row in await ask(cast.admin, "funnel", step=["visit", "signup"], within=86_400)
    ] == [3, 2]


async def test_retention_follows_those_who_are_new(cast: Cast, settle: Any) -> None:
    await happen(cast.owner, (-40, "a"), (1, "a"))  # seen before: in no cohort
    await happen(cast.stranger, (1, "a"), (13, "b"), (37, "a"))
    await happen(cast.app_key, (13, "a"), userId="crm-7")
    await settle()
    rows = await ask(cast.admin, "retention", -12, 60, interval="day")
    assert [(row["cohort"][:10], row["period"], row["users"]) for row in rows] == [
        ("2026-10-24", 0, 1), ("2026-10-24", 1, 1), ("2026-10-24", 2, 1),
        ("2026-10-25", 0, 1), ("2026-10-25", 1, 0),
        ("2026-10-26", 0, 0),
    ]  # fmt: skip
    back = await ask(cast.admin, "retention", -12, 60, interval="day", returning="b")
    assert [row["users"] for row in back if row["cohort"].startswith("2026-10-24")] == [1, 1, 0]


async def test_the_last_minutes_are_live(cast: Cast) -> None:
    event = {"appId": "notes", "eventName": "now", "eventCategory": "error"}
    await cast.owner.post("/v1/analytics/events", json=[event, event])
    rows = (await cast.admin.get("/v1/analytics/live", params={"minutes": 5})).json()
    assert len(rows) == 5
    assert [sum(row[name] for row in rows) for name in ("events", "errors")] == [2, 2]
    assert max(row["users"] for row in rows) == 1


@pytest.mark.parametrize(
    ("by", "value"), [("format", "ndjson"), ("accept", "application/x-ndjson")]
)
async def test_rows_come_as_ndjson(cast: Cast, by: str, value: str) -> None:
    await happen(cast.owner, (1, "a"), (2, "b"))
    params = {"from": at(0), "to": at(48)} | ({"format": value} if by == "format" else {})
    headers = {"Accept": value} if by == "accept" else {}
    answer = await cast.admin.get("/v1/analytics/event-counts", params=params, headers=headers)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"eventName": "a", "count": 1},
        {"eventName": "b", "count": 1},
    ]
