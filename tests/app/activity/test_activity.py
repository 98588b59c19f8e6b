"""Activity: noted, listed newest first, filtered, and never older than 90 days."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from models.activity import Activity
from models.base import rfc3339
from tests.cast import Cast
from tests.harness import Caller, version_of

PATH = "/v1/users/me/activity"


def ago(**span: float) -> str:
    return rfc3339(datetime.now(UTC) - timedelta(**span))


async def note(caller: Caller, event_type: str, **fields: Any) -> dict[str, Any]:
    answer = await caller.post(PATH, json={"appId": "notes", "eventType": event_type, **fields})
    assert answer.status_code == 201
    found: dict[str, Any] = answer.json()
    return found


async def listed(caller: Caller, **params: Any) -> list[str]:
    answer = await caller.get(PATH, params=params)
    assert answer.status_code == 200
    return [item["eventType"] for item in answer.json()["items"]]


async def test_an_activity_is_kept_as_it_was_told(cast: Cast) -> None:
    told = {
        "appId": "notes",
        "eventType": "opened",
        "eventData": {"$ref": 1, "b": [1.0]},
        "sessionId": "s-1",
        "timestamp": ago(hours=1),
    }
    made = await cast.owner.post(PATH, json=told)
    assert (made.status_code, version_of(made)) == (201, 1)
    assert "location" not in made.headers  # there is no route to one activity
    assert made.json() | told | {"userId": cast.owner.id} == made.json()
    assert (await cast.owner.get(PATH)).json() == {"items": [made.json()], "nextCursor": None}


async def test_an_activity_without_a_time_is_of_now(cast: Cast) -> None:
    before = datetime.now(UTC)
    made = await note(cast.owner, "opened")
    moment, slack = (
        datetime.fromisoformat(made["timestamp"]),
        timedelta(seconds=1),
    )  # the database's clock
    assert before - slack <= moment <= datetime.now(UTC) + slack
    assert (made["eventData"], made["sessionId"]) == ({}, None)


async def test_times_are_kept_in_utc_to_the_millisecond(cast: Cast) -> None:
    moment = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=123456)
    told = moment.astimezone().isoformat()
    assert (await note(cast.owner, "x", timestamp=told))["timestamp"] == rfc3339(moment)


async def test_the_newest_comes_first_page_by_page_even_within_one_millisecond(cast: Cast) -> None:
    same = ago(minutes=5)
    for n in range(5):
        await note(cast.owner, f"same{n}", timestamp=same)
    await note(cast.owner, "newest")
    await note(cast.owner, "oldest", timestamp=ago(minutes=9))
    seen: list[str] = []
    cursor: str | None = None
    sizes = []
    while cursor or not seen:
        page = (
            await cast.owner.get(PATH, params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [item["eventType"] for item in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["nextCursor"]
    assert sizes == [3, 3, 1]
    assert seen == ["newest", "same4", "same3", "same2", "same1", "same0", "oldest"]


async def test_what_comes_in_meanwhile_moves_no_page(cast: Cast) -> None:
    for n in range(3):
        await note(cast.owner, f"e{n}", timestamp=ago(minutes=9 - n))
    first = (await cast.owner.get(PATH, params={"limit": 2})).json()
    await note(cast.owner, "new")
    second = (await cast.owner.get(PATH, params={"limit": 2, "cursor": first["nextCursor"]})).json()
    assert [item["eventType"] for item in second["items"]] == ["e0"]


async def test_filters_choose_and_combine(cast: Cast) -> None:
    await note(cast.owner, "a", sessionId="s1", timestamp=ago(hours=3))
    await note(cast.owner, "b", sessionId="s1", timestamp=ago(hours=2))
    await note(cast.owner, "b", sessionId="s2", timestamp=ago(hours=1), appId="boats")
    assert await listed(cast.owner) == ["b", "b", "a"]
    assert await listed(cast.owner, eventType="b") == ["b", "b"]
    assert await listed(cast.owner, sessionId="s1") == ["b", "a"]
    assert await listed(cast.owner, appId="boats") == ["b"]
    assert await listed(cast.owner, appId="notes", eventType="b", sessionId="s2") == []
    assert await listed(cast.owner, hours=2.5) == ["b", "b"]
    assert await listed(cast.owner, hours=2.5, appId="notes") == ["b"]
    assert await listed(cast.owner, eventType="c") == []


async def test_from_is_inclusive_and_to_exclusive(cast: Cast) -> None:
    first, second = ago(hours=3), ago(hours=2)
    await note(cast.owner, "first", timestamp=first)
    await note(cast.owner, "second", timestamp=second)
    assert await listed(cast.owner, **{"from": first, "to": second}) == ["first"]
    assert await listed(cast.owner, **{"from": second}) == ["second"]
    assert await listed(cast.owner, **{"to": first}) == []
    assert await listed(cast.owner, **{"from": first, "hours": 2.5}) == ["second"]
    assert await listed(cast.owner, **{"from": second, "to": second}) == []


async def test_nothing_older_than_90_days_is_shown_before_the_database_removes_it(
    cast: Cast,
) -> None:
    await note(cast.owner, "young", timestamp=ago(days=89))
    old = {
        "appId": "notes",
        "eventType": "old",
        "timestamp": datetime.now(UTC) - timedelta(days=91),
    }
    await Activity.raw().insert_one({"userId": ObjectId(cast.owner.id), **old})
    assert await listed(cast.owner) == ["young"]
    assert await listed(cast.owner, **{"from": ago(days=100)}) == ["young"]
    assert await listed(cast.owner, hours=90 * 24) == ["young"]


async def test_expand_embeds_the_user(cast: Cast) -> None:
    await note(cast.owner, "a")
    await note(cast.owner, "b")
    items = (await cast.owner.get(PATH, params={"expand": "user"})).json()["items"]
    assert [item["user"]["email"] for item in items] == ["owner@example.com"] * 2
    assert "user" not in (await cast.owner.get(PATH)).json()["items"][0]


async def test_activity_is_ones_own(cast: Cast) -> None:
    await note(cast.owner, "mine")
    await note(cast.stranger, "yours")
    assert await listed(cast.owner) == ["mine"]
    assert (await cast.stranger.get(f"/v1/users/{cast.owner.id}/activity")).status_code == 404


async def test_a_token_of_one_app_sees_and_notes_that_apps_activity(cast: Cast) -> None:
    await note(cast.owner, "boat", appId="boats")
    await note(cast.owner_in_app, "note")
    assert await listed(cast.owner_in_app) == ["note"]
    assert (await cast.owner_in_app.get(PATH, params={"appId": "boats"})).status_code == 404
    refused = await cast.owner_in_app.post(PATH, json={"appId": "boats", "eventType": "x"})
    assert refused.status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"eventType": "x"}, "/appId"),
        ({"appId": "notes"}, "/eventType"),
        ({"appId": "a b", "eventType": "x"}, "/appId"),
        ({"appId": "a", "eventType": ""}, "/eventType"),
        ({"appId": "a", "eventType": "x" * 257}, "/eventType"),
        ({"appId": "a", "eventType": "x", "eventData": []}, "/eventData"),
        ({"appId": "a", "eventType": "x", "sessionId": ""}, "/sessionId"),
        ({"appId": "a", "eventType": "x", "timestamp": "yesterday"}, "/timestamp"),
        ({"appId": "a", "eventType": "x", "timestamp": "0001-01-01T00:00:00+14:00"}, "/timestamp"),
        ({"appId": "a", "eventType": "x", "timestamp": 1e300}, "/timestamp"),
        ({"appId": "a", "eventType": "x", "userId": "f" * 24}, "/userId"),
        ([], ""),
    ],
    ids=repr,
)
async def test_other_content_is_refused_by_field(cast: Cast, body: Any, pointer: str) -> None:
    refused = await cast.owner.post(PATH, json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert await listed(cast.owner) == []


@pytest.mark.parametrize(
    "query",
    [
        "hours=0",
        "hours=-1",
        "hours=nan",
        "hours=2161",
        "from=x",
        "to=x",
        "limit=0",
        "limit=201",
        "appId=a b",
        "expand=x",
    ],
)
async def test_other_parameters_are_refused(cast: Cast, query: str) -> None:
    refused = await cast.owner.get(f"{PATH}?{query}")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (
        422,
        "?" + query.partition("=")[0],
    )


def forged(text: str) -> str:
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "key",
    [
        "[]",
        '["2026-01-01T00:00:00Z"]',
        '["2026-01-01T00:00:00Z","x"]',
        '["x","ffffffffffffffffffffffff"]',
        '[1,"ffffffffffffffffffffffff"]',
        '["0001-01-01T00:00:00+14:00","ffffffffffffffffffffffff"]',
        '["9999-12-31T23:59:59-14:00","ffffffffffffffffffffffff"]',
        '["0001-01-01","ffffffffffffffffffffffff"]',
    ],
)
async def test_a_forged_cursor_is_refused_or_leads_nowhere(cast: Cast, key: str) -> None:
    answer = await cast.owner.get(PATH, params={"cursor": forged(key)})
    assert answer.status_code in (200, 422)
    if answer.status_code == 422:
        assert answer.json()["errors"][0]["pointer"] == "?cursor"
    else:
        assert answer.json() == {"items": [], "nextCursor": None}


@pytest.mark.parametrize(
    "span", [{"days": 90}, {"days": 4000}, {"days": -2}, {"hours": -25}], ids=repr
)
async def test_an_activity_of_a_time_that_cannot_be_is_refused(
    cast: Cast, span: dict[str, float]
) -> None:
    refused = await cast.owner.post(
        PATH, json={"appId": "notes", "eventType": "x", "timestamp": ago(**span)}
    )
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/timestamp")
    assert refused.json()["errors"][0]["code"] == "out_of_range"
    assert await Activity.raw().count_documents({}) == 0


@pytest.mark.parametrize("span", [{"days": 89.9}, {"hours": -23}], ids=repr)
async def test_an_activity_of_a_clock_that_is_wrong_is_taken(
    cast: Cast, span: dict[str, float]
) -> None:
    await note(cast.owner, "x", timestamp=ago(**span))
    assert await listed(cast.owner) == ["x"]
