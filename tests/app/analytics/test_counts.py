"""The two required counts, as flat rows for a dashboard."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from models.analytics import Analytics, AnalyticsContent
from models.base import now, rfc3339
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Caller

EVENTS, CATEGORIES = "/v1/analytics/event-counts", "/v1/analytics/category-counts"


def ago(**span: float) -> str:
    return rfc3339(datetime.now(UTC) - timedelta(**span))


async def happen(caller: Caller, name: str, category: str, times: int = 1, **fields: Any) -> None:
    event = {"appId": "notes", "eventName": name, "eventCategory": category, **fields}
    assert (await caller.post("/v1/analytics/events", json=[event] * times)).json()[
        "accepted"
    ] == times


async def rows(caller: Caller, path: str, **params: Any) -> dict[str, int]:
    answer = await caller.get(path, params=params)
    assert answer.status_code == 200
    field = "eventName" if path == EVENTS else "eventCategory"
    return {row[field]: row["count"] for row in answer.json()}


async def test_events_and_categories_are_counted_most_frequent_first(cast: Cast) -> None:
    await happen(cast.owner, "opened", "engagement", 3)
    await happen(cast.owner, "bought", "conversion", 1)
    await happen(cast.stranger, "closed", "engagement", 1)
    events = await cast.admin.get(EVENTS)
    assert events.json() == [
        {"eventName": "opened", "count": 3},
        {"eventName": "bought", "count": 1},
        {"eventName": "closed", "count": 1},
    ]
    categories = await cast.admin.get(CATEGORIES)
    assert categories.json() == [
        {"eventCategory": "engagement", "count": 4},
        {"eventCategory": "conversion", "count": 1},
    ]
    assert events.headers["content-type"] == "application/json"
    assert datetime.fromisoformat(events.headers["satchel-as-of"]) <= datetime.now(UTC) + timedelta(
        seconds=1
    )


async def test_nothing_is_counted_where_nothing_happened(cast: Cast) -> None:
    assert (await cast.admin.get(EVENTS)).json() == []
    assert (await cast.admin.get(CATEGORIES)).json() == []


async def test_the_last_30_days_are_counted_unless_said_otherwise(cast: Cast) -> None:
    await happen(cast.owner, "now", "custom")
    await happen(cast.owner, "lately", "custom", timestamp=ago(days=29))
    await happen(cast.owner, "once", "custom", timestamp=ago(days=31))
    assert await rows(cast.admin, EVENTS) == {"now": 1, "lately": 1}
    assert await rows(cast.admin, EVENTS, **{"from": ago(days=40)}) == {
        "now": 1,
        "lately": 1,
        "once": 1,
    }
    assert await rows(cast.admin, EVENTS, to=ago(days=28)) == {"lately": 1, "once": 1}


async def test_from_is_inclusive_and_to_exclusive(cast: Cast) -> None:
    first, second = ago(hours=2), ago(hours=1)
    await happen(cast.owner, "first", "custom", timestamp=first)
    await happen(cast.owner, "second", "custom", timestamp=second)
    assert await rows(cast.admin, EVENTS, **{"from": first, "to": second}) == {"first": 1}
    assert await rows(cast.admin, EVENTS, **{"from": second, "to": second}) == {}


@pytest.mark.parametrize("path", [EVENTS, CATEGORIES])
async def test_filters_choose_and_combine(cast: Cast, path: str) -> None:
    await happen(cast.owner, "error", "error", 2)
    await happen(cast.owner, "error", "error", 4, appId="boats")
    await happen(cast.stranger, "error", "error", 8)
    await happen(cast.owner, "custom", "custom", 16)
    owner = cast.owner.id
    assert await rows(cast.admin, path) == {"error": 14, "custom": 16}
    assert await rows(cast.admin, path, appId="boats") == {"error": 4}
    assert await rows(cast.admin, path, userId=owner) == {"error": 6, "custom": 16}
    assert await rows(cast.admin, path, eventName="error", userId=owner, appId="notes") == {
        "error": 2
    }
    assert await rows(cast.admin, path, eventCategory="custom") == {"custom": 16}
    assert await rows(cast.admin, path, eventName="nothing") == {}


async def test_a_user_counts_their_own_events(cast: Cast) -> None:
    await happen(cast.owner, "mine", "custom")
    await happen(cast.stranger, "yours", "custom")
    assert await rows(cast.owner, EVENTS) == {"mine": 1}
    assert await rows(cast.owner, EVENTS, userId="me") == {"mine": 1}
    assert (await cast.owner.get(EVENTS, params={"userId": cast.stranger.id})).status_code == 404


async def test_callers_of_one_app_count_that_app(cast: Cast) -> None:
    await happen(cast.owner, "note", "custom")
    await happen(cast.owner, "boat", "custom", appId="boats")
    for caller in (cast.app_key, cast.owner_in_app):
        assert await rows(caller, EVENTS) == {"note": 1}
        assert (await caller.get(EVENTS, params={"appId": "boats"})).status_code == 404


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv"),
        ("text/csv, application/json;q=0.5", "text/csv"),
        ("text/csv;q=0.1, application/json", "application/json"),
        ("TEXT/CSV", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv, */*", "text/csv"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;q=0, */*", "text/csv"),
        ("application/problem+json", "application/json"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
async def test_rows_come_as_json_or_csv(cast: Cast, accept: str, kind: str) -> None:
    await happen(cast.owner, 'say "a,b"', "custom", 2)
    answer = await cast.admin.get(EVENTS, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
    assert answer.headers["vary"] == "Accept"
    if kind == "text/csv":
        assert answer.text == 'eventName,count\r\n"say ""a,b""",2\r\n'
    else:
        assert answer.json() == [{"eventName": 'say "a,b"', "count": 2}]


@pytest.mark.parametrize(
    "accept", ["image/png", "text/html", "application/json;q=0", "*/*;q=0", "text/csv;q=high"]
)
async def test_other_types_are_406(cast: Cast, accept: str) -> None:
    answer = await cast.admin.get(EVENTS, headers={"Accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize(
    "query", ["from=x", "to=x", "eventCategory=other", "eventName=", "appId=a b", "userId=x"]
)
async def test_other_parameters_are_refused(cast: Cast, query: str) -> None:
    refused = await cast.admin.get(f"{EVENTS}?{query}")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "?" + query.partition("=")[0],
    )


async def test_a_span_that_ends_before_it_begins_is_refused(cast: Cast) -> None:
    refused = await cast.admin.get(EVENTS, params={"from": ago(days=1), "to": ago(days=2)})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "out_of_range")


async def test_without_from_the_30_days_before_to_are_counted(cast: Cast) -> None:
    await happen(cast.owner, "in", "custom", timestamp=ago(days=399))
    await happen(cast.owner, "before", "custom", timestamp=ago(days=401))
    assert await rows(cast.admin, EVENTS, to=ago(days=370)) == {"in": 1}
    assert await rows(cast.admin, CATEGORIES, to=ago(days=368)) == {}


@pytest.mark.parametrize(("path", "field"), [(EVENTS, "eventName"), (CATEGORIES, "eventCategory")])
async def test_a_table_without_rows_still_has_its_head(cast: Cast, path: str, field: str) -> None:
    answer = await cast.admin.get(path, headers={"Accept": "text/csv"})
    assert (answer.status_code, answer.text) == (200, f"{field},count\r\n")


@pytest.mark.parametrize(
    "first", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\u00a0+", "  @", "\x0b-"]
)
async def test_no_event_name_is_a_formula_in_a_spreadsheet(cast: Cast, first: str) -> None:
    name = f"{first}HYPERLINK(1)"
    await happen(cast.owner, name, "custom", 2)
    found = await cast.admin.get(EVENTS, headers={"Accept": "text/csv"})
    assert list(csv.reader(io.StringIO(found.text, newline="")))[1] == [f"'{name}", "2"]
    assert (await cast.admin.get(EVENTS)).json() == [{"eventName": name, "count": 2}]


async def test_events_of_a_deleted_user_are_not_there_while_they_are_swept(
    make_api: MakeApi,
) -> None:
    api = await make_api(deletion_small_tree=1, deletion_inline_seconds=0)
    admin = await api.key("admin")
    user = (await admin.post("/v1/users", json={})).json()["id"]
    owner, content = (
        api.token(user),
        AnalyticsContent(app_id="notes", event_name="e", event_category="custom"),
    )
    await Analytics.insert_rows(
        [Analytics.row(content, ObjectId(user), now()) for _ in range(2500)]
    )
    for path in ("event-counts", "category-counts"):
        assert (await admin.get(f"/v1/analytics/{path}", params={"userId": user})).json()[0][
            "count"
        ] == 2500
    assert (await admin.delete(f"/v1/users/{user}")).status_code == 202
    assert await Analytics.raw().count_documents({"userId": ObjectId(user)}) > 0
    for path in ("event-counts", "category-counts"):
        assert (
            await admin.get(f"/v1/analytics/{path}", params={"userId": user})
        ).status_code == 404
        assert (await owner.get(f"/v1/analytics/{path}")).status_code == 404
