"""Malformed batches: what is none at all is a problem, and an item that can never be stored refuses
itself."""

import json
from typing import Any

import pytest

from app.errors import Invalid, MalformedJson
from app.sync.batch_body import parse_batch
from models.app_data import AppData
from tests.cast import Cast
from tests.factories.batches import APP

FINE = b'{"dataKey": "fine", "value": 1}'
WHOLES: list[tuple[bytes, str, str]] = [
    (b"[]", "", "wrong_type"),
    (b"null", "", "wrong_type"),
    (b"{}", "/writes", "missing"),
    (b'{"writes": {}}', "/writes", "wrong_type"),
    (b'{"writes": []}', "/writes", "too_short"),
    (
        b'{"writes": [%s]}' % b",".join(b'{"dataKey": "k%d", "value": 1}' % n for n in range(201)),
        "/writes",
        "too_many",
    ),
    (b'{"writes": [%s], "atomic": 1}' % FINE, "/atomic", "wrong_type"),
    (b'{"writes": [%s], "a/b": 1}' % FINE, "/a~1b", "unknown"),
    (b'{"writes": [%s], "\\ud800": 1}' % FINE, "/?", "unknown"),
    (b'{"writes": [%s, 7]}' % FINE, "/writes/1", "wrong_type"),
    (b'{"writes": [%s, {"value": 1}]}' % FINE, "/writes/1/dataKey", "missing"),
    (b'{"writes": [%s, {"dataKey": 1, "value": 1}]}' % FINE, "/writes/1/dataKey", "wrong_type"),
    (b'{"writes": [%s, {"dataKey": null, "value": 1}]}' % FINE, "/writes/1/dataKey", "wrong_type"),
    (b'{"writes": [%s, %s]}' % (FINE, FINE), "/writes/1/dataKey", "duplicate"),
    (
        b'{"writes": [%s, {"dataKey": "k", "value": %s}]}' % (FINE, b"1" * 5000),
        "",
        "integer_too_large",
    ),
]


@pytest.mark.parametrize(("body", "pointer", "code"), WHOLES)
def test_what_is_no_batch_names_the_place(body: bytes, pointer: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_batch(body)
    assert [(error["pointer"], error["code"]) for error in refused.value.errors] == [
        (pointer, code)
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"writes": [{"dataKey": "k", "value": NaN}]}',
        b'{"writes": [{"dataKey": "k", "value": -Infinity}]}',
        b'{"writes": [{"dataKey": "k", "value": %s}]}' % (b"[" * 3000 + b"]" * 3000),
        b'{"writes": [{"dataKey": "k", "value": 1234567890123456789012,}]}',
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedJson):
        parse_batch(body)


@pytest.mark.parametrize(
    ("item", "pointer", "code"),
    [
        (b'"value": 9223372036854775808', "/value", "integer_too_large"),
        (
            b'"value": {"a/b": [1, 123456789012345678901234567890]}',
            "/value/a~1b/1",
            "integer_too_large",
        ),
        (b'"value": 1e999', "/value", "not_finite"),
        (b'"value": "\\ud800"', "/value", "not_unicode"),
        (b'"value": {"\\u0000": 1}', "/value/\0", "nul_in_key"),
        (b'"value": ' + b"[" * 65 + b"]" * 65, "/value" + "/0" * 64, "too_deep"),
        (b'"mergePatch": ' + b"[" * 65 + b"]" * 65, "/mergePatch" + "/0" * 64, "too_deep"),
        (
            b'"jsonPatch": [{"value": 9223372036854775808}]',
            "/jsonPatch/0/value",
            "integer_too_large",
        ),
        (b'"value": 1, "mutationId": ""', "/mutationId", "malformed"),
        (b'"value": 1, "mutationId": "undefined"', "/mutationId", "malformed"),
        (b'"value": 1, "mutationId": 7', "/mutationId", "wrong_type"),
        (b'"value": 1, "mutationId": "\\ud800"', "/mutationId", "malformed"),
        (b'"value": 1, "mutationId": "%s"' % (b"x" * 65), "/mutationId", "malformed"),
        (b'"value": 1, "ifVersion": true', "/ifVersion", "wrong_type"),
        (b'"value": 1, "ifVersion": null', "/ifVersion", "wrong_type"),
        (b'"value": 1, "ifVersion": 1.5', "/ifVersion", "wrong_type"),
        (b'"value": 1, "ifVersion": -1', "/ifVersion", "out_of_range"),
        (b'"value": 1, "ifVersion": 9223372036854775808', "/ifVersion", "out_of_range"),
        (b'"value": 1, "ttl": 316224001', "/ttl", "out_of_range"),
        (b'"value": 1, "ttl": "1"', "/ttl", "wrong_type"),
        (b'"delete": true, "ttl": 1', "/ttl", "conflicting"),
        (b'"delete": 1', "/delete", "not_allowed"),
        (b'"delete": null', "/delete", "not_allowed"),
        (b'"value": 1, "a~b": 1', "/a~0b", "unknown"),
        (b'"value": 1, "\\udfff": 1', "/?", "unknown"),
        (b'"value": null, "jsonPatch": []', "", "conflicting"),
        (b'"ifVersion": 0', "", "missing"),
    ],
)
def test_an_item_that_can_never_be_stored_refuses_itself(
    item: bytes, pointer: str, code: str
) -> None:
    batch = parse_batch(b'{"writes": [%s, {"dataKey": "k", %s}]}' % (FINE, item))
    assert batch.items[0].errors == []
    assert [(error["pointer"], error["code"]) for error in batch.items[1].errors] == [
        ("/writes/1" + pointer, code)
    ]


def test_a_value_may_be_as_deep_as_one_that_is_put_alone() -> None:
    batch = parse_batch(b'{"writes": [{"dataKey": "k", "value": %s}]}' % (b"[" * 64 + b"]" * 64))
    assert batch.items[0].errors == []


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "\ud800", "x" * 257, "\0"])
async def test_a_key_that_no_value_can_have_is_sent_back_readably(cast: Cast, key: str) -> None:
    body = json.dumps({"writes": [{"dataKey": key, "value": 1}, {"dataKey": "fine", "value": 1}]})
    answer = await cast.owner.post(f"{APP}/batch", content=body)
    assert answer.status_code == 200
    refused, stored = answer.json()["results"]
    assert (refused["status"], refused["errors"][0]["pointer"]) == ("invalid", "/writes/0/dataKey")
    assert (refused["current"], stored["status"]) == (None, "stored")


async def test_what_is_no_batch_is_a_problem_and_nothing_is_stored(cast: Cast) -> None:
    for body, status, code in ((WHOLES[13][0], 422, "invalid"), (b"{", 422, "malformed_json")):
        answer = await cast.owner.post(f"{APP}/batch", content=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
    large: Any = {
        "writes": [{"dataKey": f"k{number}", "value": "x" * 400_000} for number in range(3)]
    }
    assert (await cast.owner.post(f"{APP}/batch", json=large)).status_code == 413
    assert (await cast.owner.post(f"{APP}/batch?atomic=true", content=b"{}")).status_code == 422
    assert await AppData.raw().count_documents({}) == 0
