"""`increment` of a JSON Patch, our one extension: counters that need no read."""

import asyncio
from typing import Any

import pytest

from app.errors import Invalid
from app.web.patches import PatchKind, apply_patch
from models.values import LEAST_INTEGER, MOST_INTEGER
from tests.cast import Cast
from tests.factories.app_data import K


def incremented(document: Any, path: str, value: Any) -> Any:
    return apply_patch(
        PatchKind.PATCH, [{"op": "increment", "path": path, "value": value}], document
    )


@pytest.mark.parametrize(
    ("before", "path", "value", "after"),
    [
        ({"n": 1}, "/n", 2, {"n": 3}),
        ({"n": 1}, "/n", -2, {"n": -1}),
        ({"n": 0.5}, "/n", 1, {"n": 1.5}),
        ({"n": 1}, "/n", 0.5, {"n": 1.5}),
        ({"n": MOST_INTEGER - 1}, "/n", 1, {"n": MOST_INTEGER}),
        ({"n": LEAST_INTEGER}, "/n", MOST_INTEGER, {"n": -1}),
        ({}, "/n", 5, {"n": 5}),
        ({"a": {}}, "/a/b", 1, {"a": {"b": 1}}),
        ({"a": [1, 2]}, "/a/1", 1, {"a": [1, 3]}),
        ({"a/b": 1}, "/a~1b", 1, {"a/b": 2}),
        (7, "", 1, 8),
    ],
)
def test_increment_adds_exactly(before: Any, path: str, value: Any, after: Any) -> None:
    found = incremented(before, path, value)
    assert found == after
    assert type(found) is type(after)


@pytest.mark.parametrize(
    ("before", "path", "value", "code"),
    [
        ({"n": MOST_INTEGER}, "/n", 1, "integer_too_large"),
        ({"n": LEAST_INTEGER}, "/n", -1, "integer_too_large"),
        ({"n": 2**53 + 1}, "/n", 0.5, "out_of_range"),
        ({"n": 1e308}, "/n", 1e308, "not_finite"),
        ({"n": "1"}, "/n", 1, "not_applicable"),
        ({"n": True}, "/n", 1, "not_applicable"),
        ({"n": None}, "/n", 1, "not_applicable"),
        ({"n": 1}, "/n", "1", "wrong_type"),
        ({"n": 1}, "/n", True, "wrong_type"),
        ({"n": 1}, "/n", None, "wrong_type"),
        ({}, "/a/b", 1, "not_applicable"),
        ([1], "/1", 1, "not_applicable"),
        ([1], "/-", 1, "not_applicable"),
        ({"n": 1}, "n", 1, "not_applicable"),
        ({"n": 1}, 7, 1, "not_applicable"),
        ("text", "/n", 1, "not_applicable"),
    ],
)
def test_what_cannot_be_added_is_refused(before: Any, path: Any, value: Any, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        incremented(before, path, value)
    assert [error["code"] for error in refused.value.errors] == [code]
    assert refused.value.errors[0]["pointer"].startswith("/0")


async def test_150_counters_at_once_lose_no_count(cast: Cast) -> None:
    await cast.owner.put(K, json={})
    step = [{"op": "increment", "path": "/likes", "value": 1}]
    answers = await asyncio.gather(*(cast.owner.patch(K, step) for _ in range(150)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["value"]["likes"] for answer in answers) == list(range(1, 151))


async def test_a_count_beyond_64_bits_is_422_and_stores_nothing(cast: Cast) -> None:
    await cast.owner.put(K, json={"n": MOST_INTEGER})
    answer = await cast.owner.patch(K, [{"op": "increment", "path": "/n", "value": 1}])
    assert answer.status_code == 422
    assert answer.json()["errors"][0] == {
        "pointer": "/0",
        "code": "integer_too_large",
        "detail": "the sum does not fit 64 bits with sign",
    }
    assert (await cast.owner.get(K)).json() == {"n": MOST_INTEGER}
