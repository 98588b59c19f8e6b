"""How queries are answered: forms, headers, limits, and who may ask."""

import asyncio
import csv
import io
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.analytics.rollup.advance import advance
from models.analytics import Analytics
from models.base import now
from tests.cast import Cast
from tests.factories.asking import at, happen


async def test_csv_always_has_its_header_and_no_formulas(cast: Cast) -> None:
    params = {"from": at(0), "to": at(48), "format": "csv", "interval": "day"}
    empty = await cast.admin.get("/v1/analytics/event-counts", params=params)
    assert empty.text == "time,eventName,count\r\n"
    await happen(cast.owner, (1, "=1+1"))
    rows = list(
        csv.DictReader(
            io.StringIO((await cast.admin.get("/v1/analytics/event-counts", params=params)).text)
        )
    )
    assert (rows[0]["eventName"], rows[0]["time"]) == ("'=1+1", "2026-10-24T00:00:00.000Z")


async def test_headers_say_how_fresh_the_figures_are(cast: Cast, settle: Any) -> None:
    await happen(cast.owner, (1, "a"))
    await settle()
    headers = (await cast.admin.get("/v1/analytics/event-counts")).headers
    assert abs(datetime.fromisoformat(headers["satchel-as-of"]) - now()) < timedelta(seconds=30)
    assert float(headers["satchel-staleness"]) == 0
    assert float(headers["satchel-rollup-lag"]) >= 0


async def test_the_lag_is_how_long_the_first_event_that_is_not_rolled_up_has_waited(
    cast: Cast,
) -> None:
    async def lag() -> float:
        return float(
            (await cast.admin.get("/v1/analytics/event-counts")).headers["satchel-rollup-lag"]
        )

    assert await lag() == 0  # the worker never ran, and has nothing to do
    await happen(cast.owner, (1, "a"))
    await Analytics.raw().update_many({}, {"$set": {"receivedAt": now() - timedelta(minutes=10)}})
    await happen(cast.owner, (1, "b"))
    assert 600 <= await lag() < 700  # it still never ran
    while await advance(timedelta(minutes=5)):
        continue
    assert await lag() < 100
    while await advance(timedelta(milliseconds=-5)):
        continue
    assert await lag() == 0


async def test_an_answer_says_that_it_is_behind_where_the_tail_is_too_long(
    cast: Cast, monkeypatch: Any
) -> None:
    monkeypatch.setattr("app.analytics.query.reader.MOST_UNROLLED", 2)
    await happen(cast.owner, (1, "a"))
    while await advance(timedelta(milliseconds=-5)):
        continue
    await happen(cast.owner, (1, "a"), (2, "a"), (3, "a"))
    answer = await cast.admin.get(
        "/v1/analytics/event-counts", params={"from": at(0), "to": at(48)}
    )
    assert answer.json() == [{"eventName": "a", "count": 1}]
    assert float(answer.headers["satchel-staleness"]) > 0


RAW: list[tuple[str, Any, str]] = [
    ("funnel", {"step": ["a", "b"]}, "?from"),
    ("event-counts", {"interval": "minute", "to": at(24)}, "?from"),
    ("active-users", {"userId": "owner"}, "?from"),
    ("sessions", {"userId": "owner"}, "?from"),
    ("event-counts", {"from": at(0.9), "to": at(1.1)}, "?from"),
    ("live", {}, "?minutes"),
]


@pytest.mark.parametrize(
    ("path", "params", "pointer"), RAW, ids=[f"{path} {params}" for path, params, _ in RAW]
)
async def test_what_is_counted_from_raw_events_reads_so_many_at_most(
    cast: Cast, settle: Any, monkeypatch: pytest.MonkeyPatch, path: str, params: Any, pointer: str
) -> None:
    if path == "live":
        fresh = {"appId": "notes", "eventName": "a", "eventCategory": "custom"}
        await cast.owner.post("/v1/analytics/events", json=[fresh] * 4)
    else:
        await happen(cast.owner, (1, "a"), (1, "b"), (1, "a"), (1, "b"))
    await settle()
    await asyncio.sleep(0.01)
    while await advance(timedelta(milliseconds=-5)):
        continue
    params = {"from": at(0), "to": at(48)} | {
        name: cast.owner.id if value == "owner" else value for name, value in params.items()
    }
    monkeypatch.setattr("app.analytics.query.reader.MOST_RAW", 4)
    assert (await cast.admin.get(f"/v1/analytics/{path}", params=params)).status_code == 200
    monkeypatch.setattr("app.analytics.query.reader.MOST_RAW", 3)
    answer = await cast.admin.get(f"/v1/analytics/{path}", params=params)
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (
        422,
        [pointer],
    )
    assert answer.json()["errors"][0]["code"] == "too_many"


@pytest.mark.parametrize(
    ("path", "params", "pointer"),
    [
        ("event-counts", {"tz": "Mars/Olympus"}, "?tz"),
        ("event-counts", {"tz": "../etc/passwd"}, "?tz"),
        ("event-counts", {"interval": "second"}, "?interval"),
        ("event-counts", {"interval": "hour", "from": "2001-01-01T00:00:00Z"}, "?interval"),
        ("event-counts", {"interval": "minute", "from": "2026-01-01T00:00:00Z"}, "?interval"),
        ("event-counts", {"from": "0001-01-01T00:00:00Z", "interval": "month"}, "?from"),
        ("event-counts", {"compare": "next"}, "?compare"),
        ("active-users", {"rolling": "true"}, "?rolling"),
        ("sessions", {"eventName": "a"}, "?eventName"),
        ("funnel", {"step": ["a"]}, "?step"),
        ("funnel", {"step": ["a", "b"], "eventName": "a"}, "?eventName"),
        ("retention", {"interval": "hour"}, "?interval"),
        ("top", {"limit": 0}, "?limit"),
        ("live", {"minutes": 0}, "?minutes"),
    ],
    ids=str,
)
async def test_nonsense_is_refused_by_name(
    cast: Cast, path: str, params: Any, pointer: str
) -> None:
    refused = await cast.admin.get(f"/v1/analytics/{path}", params=params)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"].partition(".")[0]) == (
        422,
        pointer,
    )


async def test_the_ends_of_the_calendar_are_no_fault_of_ours(cast: Cast) -> None:
    nothing = {"from": at(0), "to": at(0)}
    for span in (
        nothing,
        {"from": "0001-01-01T00:00:00Z", "to": "0001-02-01T00:00:00Z"},
        {"to": "9999-12-31T23:59:59Z"},
        {"from": "9999-12-31T00:00:00Z", "to": "9999-12-31T23:59:59Z"},
    ):
        for path in ("event-counts", "active-users", "sessions", "retention"):
            for interval in ("minute", "hour", "day", "month"):
                answer = await cast.admin.get(
                    f"/v1/analytics/{path}",
                    params={**span, "interval": interval, "compare": "previous"},
                )
                assert answer.status_code in (200, 422)


@pytest.mark.parametrize("interval", ["hour", "day"])
async def test_a_timezone_of_odd_seconds_is_refused(cast: Cast, interval: str) -> None:
    span = {"from": "1890-01-01T00:00:00Z", "to": "1890-01-02T00:00:00Z", "interval": interval}
    refused = await cast.admin.get(
        "/v1/analytics/event-counts", params={**span, "tz": "Europe/Berlin"}
    )
    assert refused.status_code == 422
    assert [(error["pointer"], error["code"]) for error in refused.json()["errors"]] == [
        ("?tz", "out_of_range")
    ]
    assert (await cast.admin.get("/v1/analytics/event-counts", params=span)).json() == []


ENDS = [
    ("9999-12-30T00:00:00Z", "9999-12-31T23:59:59.999Z"),
    ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
]


@pytest.mark.parametrize(("start", "end"), ENDS)
@pytest.mark.parametrize(
    "path",
    [
        "event-counts",
        "category-counts",
        "active-users",
        "error-rate",
        "top",
        "sessions",
        "funnel",
        "retention",
    ],
)
async def test_the_ends_of_the_calendar_are_refused(
    cast: Cast, path: str, start: str, end: str
) -> None:
    more = {"step": ["a", "b"], "within": 90 * 86_400} if path == "funnel" else {}
    for interval in ({}, {"interval": "day"}):
        params = {"from": start, "to": end, **interval, **more}
        refused = await cast.admin.get(f"/v1/analytics/{path}", params=params)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "out_of_range")


@pytest.mark.parametrize("path", ["event-counts", "active-users", "sessions", "funnel"])
async def test_nearly_the_whole_calendar_can_be_asked_for(cast: Cast, path: str) -> None:
    more = (
        {"step": ["a", "b"], "within": 90 * 86_400}
        if path == "funnel"
        else {"interval": "month", "tz": "UTC"}
    )
    for start, end in (
        ("9998-12-01T00:00:00Z", "9999-01-01T00:00:00Z"),
        ("0002-01-01T00:00:00Z",) * 2,
    ):
        for user in ({}, {"userId": cast.owner.id}):
            answer = await cast.admin.get(
                f"/v1/analytics/{path}", params={"from": start, "to": end, **more, **user}
            )
            assert answer.status_code == 200
