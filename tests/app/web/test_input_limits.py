"""No input yields a 5xx, and nothing is stored of what is refused (design, guarantee 6)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.analytics import Analytics
from models.app_data import AppData
from models.profile import Profile
from tests.cast import Cast

DEEP = '{"a":' * 64 + "1" + "}" * 64
DEEPER = '{"a":' * 65 + "1" + "}" * 65
ABYSS = "[" * 100_000 + "]" * 100_000

# The value in a body, and the code that the refusal has, by the parser (None: no valid JSON at
# all).
REFUSED: list[tuple[str, str, str | None]] = [
    ("2^63", "9223372036854775808", "integer_too_large"),
    ("-2^63-1", "-9223372036854775809", "integer_too_large"),
    ("2^64", "18446744073709551616", "integer_too_large"),
    ("5000 digits", "9" * 5000, "integer_too_large"),
    ("NaN", "NaN", None),
    ("Infinity", "Infinity", None),
    ("-Infinity", "-Infinity", None),
    ("1e999", "1e999", None),
    ("-1e999", "-1e999", None),
    ("lone surrogate", '"\\ud800"', None),
    ("lone low surrogate", '"x\\udfffx"', None),
    ("surrogate in a key", '{"\\ud800":1}', None),
    ("NUL in a key", '{"a\\u0000b":1}', "nul_in_key"),
    ("depth 65", DEEPER, "too_deep"),
    ("depth 100,000", ABYSS, None),
    ("trailing comma", "[1,]", None),
    ("two values", "1 2", None),
    ("single quotes", "'a'", None),
    ("raw control character", '"\x01"', None),
    ("no value", "", None),
]

# A place for a value: method, path, body around it, and the pointer to it.
PLACES: dict[str, tuple[str, str, str, str]] = {
    "value": ("PUT", "/v1/users/me/apps/notes/data/k", '{"v":%s}', "/v"),
    "event": (
        "POST",
        "/v1/analytics/events",
        '{"appId":"notes","eventName":"e","eventCategory":"custom","eventData":{"v":%s}}',
        "/eventData/v",
    ),
    "events": (
        "POST",
        "/v1/analytics/events",
        '[{"appId":"notes","eventName":"e","eventCategory":"custom","eventData":{"v":%s}}]',
        "/0/eventData/v",
    ),
    "metadata": ("PUT", "/v1/users/me/profile", '{"metadata":{"v":%s}}', "/metadata/v"),
    "activity": (
        "POST",
        "/v1/users/me/activity",
        '{"appId":"a","eventType":"e","eventData":{"v":%s}}',
        "/eventData/v",
    ),
}


async def stored() -> list[int]:
    """How much is stored that a refused body could have left."""
    changed = await Profile.raw().count_documents({"version": {"$gt": 1}})
    return [
        await AppData.raw().count_documents({}),
        await Analytics.raw().count_documents({}),
        changed,
    ]


async def send(cast: Cast, place: str, body: bytes | AsyncIterator[bytes], **headers: str) -> Any:
    method, path, _, _ = PLACES[place]
    sent = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return await cast.owner.request(method, path, content=body, headers=sent)


@pytest.mark.parametrize(
    ("value", "code"), [pytest.param(value, code, id=name) for name, value, code in REFUSED]
)
@pytest.mark.parametrize("place", PLACES)
async def test_what_cannot_be_kept_is_refused_and_named(
    cast: Cast, place: str, value: str, code: str | None
) -> None:
    answer = await send(cast, place, (PLACES[place][2] % value).encode())
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    if code is None:
        assert problem["code"] == "malformed_json"
    else:
        assert (problem["code"], problem["errors"][0]["code"]) == ("invalid", code)
        pointer = PLACES[place][3]
        named = problem["errors"][0]["pointer"]
        assert (
            named == ""
            or named.startswith(pointer)
            or pointer.startswith(named)
            or code == "too_deep"
        )
    assert await stored() == [0, 0, 0]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("body", [b"\xff\xfe", b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b"{", b"\x00"])
async def test_bytes_that_are_no_json_are_refused(cast: Cast, place: str, body: bytes) -> None:
    answer = await send(cast, place, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_json")
    assert await stored() == [0, 0, 0]


async def test_a_nul_in_a_key_is_named_where_it_stands(cast: Cast) -> None:
    answer = await send(cast, "value", b'{"a":[{"b\\u0000":1}]}')
    assert answer.json()["errors"][0]["pointer"] == "/a/0/b\0"


async def test_a_large_integer_is_named_where_it_stands(cast: Cast) -> None:
    answer = await send(cast, "value", b'{"a":[0,{"x/y":9223372036854775808}]}')
    assert answer.json()["errors"][0]["pointer"] == "/a/1/x~1y"


@pytest.mark.parametrize("place", PLACES)
async def test_a_body_beyond_a_mebibyte_is_413_as_a_problem(cast: Cast, place: str) -> None:
    large = b'"' + b"x" * 1024 * 1024 + b'"'
    answer = await send(cast, place, large)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert await stored() == [0, 0, 0]


@pytest.mark.parametrize("place", PLACES)
async def test_a_body_without_a_length_is_cut_off_at_a_mebibyte(cast: Cast, place: str) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 64 * 1024
            yield b" " * 64 * 1024

    answer = await send(cast, place, chunks())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_value_beyond_512_kib_is_413(cast: Cast) -> None:
    answer = await send(cast, "value", b'"' + b"x" * (512 * 1024 - 1) + b'"')
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert (await send(cast, "value", b'"' + b"x" * (512 * 1024 - 2) + b'"')).status_code == 201


@pytest.mark.parametrize("place", ["event", "metadata", "activity"])
async def test_small_objects_have_16_kib(cast: Cast, place: str) -> None:
    fits, too_many = 16 * 1024 - len('{"v":""}'), 16 * 1024 - len('{"v":""}') + 1
    body = PLACES[place][2]
    answer = await send(cast, place, (body % ('"' + "x" * too_many + '"')).encode())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == PLACES[place][3].removesuffix("/v")
    assert (await send(cast, place, (body % ('"' + "x" * fits + '"')).encode())).is_success


@pytest.mark.parametrize("place", PLACES)
async def test_dollars_dots_and_references_are_taken(cast: Cast, place: str) -> None:
    value = '{"$ref":"a","$id":1,"$set":{"a.b":{"":null}}}'
    assert (await send(cast, place, (PLACES[place][2] % value).encode())).is_success


@pytest.mark.parametrize(
    "path", ["/v1/users/me", "/v1/users/me/profile", "/v1/users/me/apps/notes/data/k"]
)
async def test_patches_are_parsed_as_strictly(cast: Cast, path: str) -> None:
    await cast.owner.put("/v1/users/me/apps/notes/data/k", json={})
    kind = {"Content-Type": "application/merge-patch+json"}
    for _, value, _ in REFUSED:
        answer = await cast.owner.request(
            "PATCH", path, content=b'{"metadata":' + value.encode() + b"}", headers=kind
        )
        assert answer.status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/v1/users?email=%00",
        "/v1/users?email=%FF",
        "/v1/users?email=" + "x" * 2000,
        "/v1/users?cursor=%FF",
        "/v1/users/%00",
        "/v1/users/%FF%FE",
        "/v1/users/me/activity?from=x",
        "/v1/users/me/activity?hours=nan",
        "/v1/users/me/activity?hours=1e400",
        "/v1/users/me/activity?sessionId=%00",
        "/v1/analytics/event-counts?to=0001-01-02T00:00:00Z",
        "/v1/analytics/event-counts?from=0001-01-01T00:00:00%2B14:00",
        "/v1/analytics/event-counts?from=9999-12-31T23:59:59-14:00",
        "/v1/analytics/event-counts?from=99999999999999999999",
        "/v1/analytics/event-counts?appId=%24where",
        "/v1/admin/jobs/%00",
        "/v1/" + "x" * 5000,
        "/" + "%2e%2e/" * 50,
    ],
)
async def test_odd_paths_and_queries_are_no_fault_of_the_server(cast: Cast, path: str) -> None:
    for caller in (cast.owner, cast.admin, cast.nobody):
        answer = await caller.get(path)
        assert answer.status_code < 500
        if not answer.is_success:
            assert answer.headers["content-type"] == "application/problem+json"
