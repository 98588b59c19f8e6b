"""On every route: times are written out, spans end after they begin, a parameter comes once unless
it is a list."""

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

from models.base import Fields
from tests.cast import Cast
from tests.factories.operations import BODIES, WRITE_KEYS, operations, request_of

DIGITS = ["20261107", "2026", "1764000000", "1764000000.5", "-1", "1e9"]
"""What pydantic by itself takes for seconds since 1970."""


def parameters(name: str) -> dict[str, dict[str, Any]]:
    """The query parameters of an operation with their schemas."""
    found = operations()[name].get("parameters", [])
    return {
        parameter["name"]: parameter["schema"] for parameter in found if parameter["in"] == "query"
    }


def place_of(name: str) -> tuple[str, str]:
    """Method and path of an operation, about things that are not there."""
    method, path = name.split(" ")
    return method, re.sub(r"\{\w+\}", "f" * 24, path)


ONCE = [name for name in operations() if parameters(name) and name not in WRITE_KEYS]
TIMED = [
    (name, parameter)
    for name in operations()
    for parameter, schema in parameters(name).items()
    if "date-time" in str(schema)
]
VALUES = "GET /v1/users/{userId}/apps/{appId}/data"
"""Whose `from` and `to` are values of a declared query."""
SPANS = [
    name for name in operations() if {"from", "to"} <= parameters(name).keys() and name != VALUES
]


def kinds_of(parent: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Every class of bodies that there is, by its name."""
    return {
        kind.__name__: kind
        for child in parent.__subclasses__()
        for kind in (child, *kinds_of(child).values())
    }


def times_in(name: str) -> list[str]:
    """The fields of an operation's body that hold a time and are not only shown."""
    content = operations()[name].get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("schema", {})
    names = re.findall(r"#/components/schemas/(\w+)", str(body))
    found = kinds_of(Fields)
    kinds = [
        found[each.removesuffix("Input")] for each in names if each != "AppDataBatch"
    ]  # written by hand
    fields = [field for kind in kinds for field in kind.model_json_schema()["properties"].items()]
    return [
        field
        for field, schema in fields
        if "date-time" in str(schema) and not schema.get("readOnly")
    ]


def test_these_are_the_times_that_clients_send() -> None:
    assert {(name, field) for name in operations() for field in times_in(name)} == set(BODY_TIMES)
    assert len(SPANS) == 14
    assert {name for name, _ in TIMED} == set(SPANS) - {
        "GET /v1/bank-accounts/{bankAccountId}/transactions"
    }


BODY_TIMES = [
    ("POST /v1/api-keys", "expiresAt"),
    ("POST /v1/analytics/events", "timestamp"),
    ("POST /v1/users/{userId}/activity", "timestamp"),
    ("POST /v1/admin/card-events/redeliver", "from"),
    ("POST /v1/admin/card-events/redeliver", "to"),
]


@pytest.mark.parametrize(("name", "parameter"), TIMED)
async def test_a_time_in_digits_is_no_time_in_a_query(
    cast: Cast, name: str, parameter: str
) -> None:
    method, path = place_of(name)
    step = {"step": ["a", "b"]} if "/funnel" in path else {}
    for text in DIGITS:
        refused = await cast.admin.request(method, path, params={**step, parameter: text})
        found = refused.json()["errors"][0]
        assert (refused.status_code, found["pointer"], found["code"]) == (
            422,
            f"?{parameter}",
            "malformed",
        ), text
        assert "2026-11-20T08:30:00Z" in found["detail"]


@pytest.mark.parametrize(("name", "field"), BODY_TIMES)
async def test_a_time_in_digits_is_no_time_in_a_body(cast: Cast, name: str, field: str) -> None:
    method, path, options = request_of(name, cast.owner.id)
    for value in [*DIGITS, 1764000000, 1764000000000, 1764000000.5, True, 0]:
        refused = await cast.admin.request(method, path, json={**BODIES[name], field: value})
        found = refused.json()["errors"][0]
        code = "malformed" if isinstance(value, str) else "wrong_type"
        assert (refused.status_code, found["pointer"], found["code"]) == (
            422,
            f"/{field}",
            code,
        ), value
    assert (await cast.admin.request(method, path, json=BODIES[name])).is_success
    assert options["json"].get(field) is None


@pytest.mark.parametrize(
    "time", ["2026-11-20T08:30:00 02:00", "2026-11-20T08:30 0200", "2026-11-20 08:30:00.5 02:00"]
)
async def test_a_blank_before_an_offset_is_said_to_be_a_plus_that_was_not_escaped(
    cast: Cast, time: str
) -> None:
    for path in ("/v1/users/me/activity", "/v1/analytics/event-counts"):
        refused = await cast.owner.get(path, params={"from": time})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "?from")
        assert "%2B" in refused.json()["errors"][0]["detail"]
        assert "%2B" not in (await cast.owner.get(path, params={"from": "yesterday"})).text
        assert (await cast.owner.get(f"{path}?from=2026-11-20T08:30:00+02:00")).status_code == 422
        assert (await cast.owner.get(f"{path}?from=2026-11-20T08:30:00%2B02:00")).status_code == 200


@pytest.mark.parametrize("name", SPANS)
async def test_a_span_that_ends_before_it_begins_is_refused(cast: Cast, name: str) -> None:
    method, path = place_of(name)
    params: dict[str, Any] = {"from": "2026-11-21", "to": "2026-11-20"}
    if "/funnel" in path:
        params["step"] = ["a", "b"]
    refused = await cast.admin.request(method, path, params=params)
    found = refused.json()["errors"]
    assert (refused.status_code, found[0]["pointer"], found[0]["code"]) == (
        422,
        "?from",
        "out_of_range",
    )
    same = await cast.admin.request(method, path, params={**params, "from": "2026-11-20"})
    assert same.status_code != 422


@pytest.mark.parametrize("name", ONCE)
async def test_a_parameter_that_comes_twice_is_refused_unless_it_is_a_list(
    cast: Cast, name: str
) -> None:
    method, path = place_of(name)
    for parameter, schema in parameters(name).items():
        caller = cast.owner if "/users/me/" in path else cast.admin  # a key is nobody's `me`
        answer = await caller.request(method, path, params={parameter: ["a", "a"]})
        if schema.get("type") == "array":
            assert answer.status_code == 200
        else:
            assert answer.status_code == 422
            assert answer.json()["errors"] == [
                {"pointer": f"?{parameter}", "code": "too_many", "detail": "send it once"}
            ]


async def test_a_parameter_of_a_value_that_comes_twice_changes_nothing(cast: Cast) -> None:
    path = "/v1/users/me/apps/notes/data/k"
    assert (await cast.owner.put(f"{path}?ttl=60&ttl=60", json=1)).status_code == 422
    assert (await cast.owner.put(f"{path}?activity=a&activity=", json=1)).status_code == 422
    assert (await cast.owner.get(path)).status_code == 404


COUNTED = "/v1/analytics/event-counts"


async def test_times_without_an_offset_are_of_the_timezone_that_is_asked_for(cast: Cast) -> None:
    event = {"appId": "notes", "eventName": "e", "eventCategory": "custom"}
    of_berlin = [
        "2026-10-24T22:00:00Z",
        "2026-10-25T10:00:00Z",
        "2026-10-25T22:59:59Z",
    ]  # a day of 25 hours
    others = ["2026-10-24T21:59:59Z", "2026-10-25T23:00:00Z"]
    body = [{**event, "timestamp": time} for time in of_berlin + others]
    assert (await cast.owner.post("/v1/analytics/events", json=body)).json()["accepted"] == 5
    asked = {"tz": "Europe/Berlin", "interval": "day"}
    for form in ("{}", "{}T00:00", "{}T00:00:00.000"):
        span = {"from": form.format("2026-10-25"), "to": form.format("2026-10-26")}
        rows = (await cast.owner.get(COUNTED, params={**asked, **span})).json()
        assert rows == [{"time": "2026-10-24T22:00:00.000Z", "eventName": "e", "count": 3}]
    span = {"from": "2026-10-25", "to": "2026-10-26"}
    assert [row["count"] for row in (await cast.owner.get(COUNTED, params=span)).json()] == [
        3
    ]  # of UTC
    exact = {"from": "2026-10-25T00:00:00Z", "to": "2026-10-26T00:00:00Z", "tz": "Europe/Berlin"}
    assert [row["count"] for row in (await cast.owner.get(COUNTED, params=exact)).json()] == [3]


@pytest.mark.parametrize(
    ("tz", "day", "start"),
    [
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00.000Z"),  # its midnight is left out
        ("America/Havana", "2026-11-01", "2026-11-01T04:00:00.000Z"),  # its midnight comes twice
    ],
)
async def test_a_day_whose_midnight_is_missing_or_comes_twice_begins_where_its_bucket_does(
    cast: Cast, tz: str, day: str, start: str
) -> None:
    first = datetime.fromisoformat(start).astimezone(ZoneInfo(tz))
    assert first.date().isoformat() == day
    event = {"appId": "notes", "eventName": "e", "eventCategory": "custom", "timestamp": start}
    await cast.owner.post("/v1/analytics/events", json=event)
    asked = {"tz": tz, "interval": "day", "from": day, "to": f"{day}T12:00"}
    assert (await cast.owner.get(COUNTED, params=asked)).json() == [
        {"time": start, "eventName": "e", "count": 1}
    ]
