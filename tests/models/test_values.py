"""Any JSON value is stored so that it comes back as sent, or refused with the place that is
wrong."""

import json
from typing import Any

import bson
import pytest
from bson import Int64
from hypothesis import given
from hypothesis import strategies as st

from models import values as values_module
from models.values import (
    UnstorableValue,
    check_value,
    escape_refs,
    escape_row,
    has_refs,
    unescape_refs,
    unescape_row,
)

keys = st.one_of(
    st.text("\x1b$ref", max_size=7),
    st.sampled_from(["$ref", "$id", "\x1b$ref", "\x1b\x1b$ref", "a.b", ""]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=20,
)


def test_integers_as_the_driver_gives_them_are_taken_at_once() -> None:
    """`bson.Int64` is a subclass of int, and `in range(…)` would walk the range for it."""
    values = [bson.Int64(2**62), bson.Int64(-(2**63))]
    check_value(values)
    assert bson.decode(bson.encode({"a": values})) == {"a": values}


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@given(values)
def test_escaping_is_undone_exactly(value: Any) -> None:
    assert json.dumps(unescape_refs(escape_refs(value))) == json.dumps(value)
    assert has_refs(value) is (escape_refs(value) != value)


@given(values)
def test_an_escaped_value_survives_the_driver(value: Any) -> None:
    check_value(value)
    back = bson.decode(bson.encode({"value": escape_refs(value)}))["value"]
    assert json.dumps(unescape_refs(back)) == json.dumps(value)
    check_value(back)


@given(st.dictionaries(st.sampled_from(["a", "b"]), values))
def test_rows_are_escaped_field_by_field(row: dict[str, Any]) -> None:
    assert json.dumps(unescape_row(escape_row(row))) == json.dumps(row)


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ({"$ref": 1}, {"\x1b$ref": 1}),
        ({"\x1b$ref": 1}, {"\x1b\x1b$ref": 1}),
        ({"$ref": {"$ref": 1}}, {"\x1b$ref": {"\x1b$ref": 1}}),
        ([{"a": [{"$ref": 1}]}], [{"a": [{"\x1b$ref": 1}]}]),
        (
            {"$id": 1, "$db": 2, "\x1b": 3, "\x1bx": 4, "$refs": 5},
            {"$id": 1, "$db": 2, "\x1b": 3, "\x1bx": 4, "$refs": 5},
        ),
        ("$ref", "$ref"),
    ],
)
def test_only_what_the_driver_takes_for_a_reference_is_escaped(value: Any, escaped: Any) -> None:
    assert escape_refs(value) == escaped
    assert unescape_refs(escaped) == value


def test_escaping_keeps_the_order_of_keys() -> None:
    assert list(escape_refs({"z": 1, "$ref": 2, "a": 3})) == ["z", "\x1b$ref", "a"]


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1,
        -(2**63),
        Int64(2**40),
        Int64(2**63 - 1),
        0.1,
        -0.0,
        "",
        "\0",
        "\U0001f600",
        nested(64),
        {"$a.b": {}},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_can_be_stored_passes(value: Any) -> None:
    """Int64 is what the driver gives for a large integer: a check that is slow for it stops the
    server."""
    check_value(value)
    check_value({"a": [value]} if value != nested(64) else value)
    assert bson.decode(bson.encode({"a": value})) == {"a": value}


@pytest.mark.parametrize(
    ("value", "pointer", "code"),
    [
        (2**63, "", "integer_too_large"),
        ({"a": [0, -(2**63) - 1]}, "/a/1", "integer_too_large"),
        ([float("nan")], "/0", "not_finite"),
        ({"x": float("inf")}, "/x", "not_finite"),
        ({"x": float("-inf")}, "/x", "not_finite"),
        ("\ud800", "", "not_unicode"),
        ({"a/b": {"m~n": "\udfff"}}, "/a~1b/m~0n", "not_unicode"),
        ({"\ud800": 1}, "/?", "not_unicode"),
        ({"a": {"b\0": 1}}, "/a/b\0", "nul_in_key"),
        (nested(65), None, "too_deep"),
        (nested(500), None, "too_deep"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_cannot_be_stored_is_named(value: Any, pointer: str | None, code: str) -> None:
    with pytest.raises(UnstorableValue) as caught:
        check_value(value)
    assert caught.value.code == code
    assert str(caught.value) == caught.value.detail != ""
    if pointer is not None:
        assert caught.value.pointer == pointer
        caught.value.pointer.encode()


def test_places_are_spelled_only_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long key over many children took seconds when each child's place was spelled."""
    spelled: list[str] = []
    spell = values_module._pointer_part
    monkeypatch.setattr(
        values_module, "_pointer_part", lambda part: spelled.append(part) or spell(part)
    )
    long = "A" * 1000
    check_value({long: list(range(1000)), "b": {long: {"x": "é"}}})
    assert spelled == []
    with pytest.raises(UnstorableValue) as caught:
        check_value({"a": [0] * 10, long: [0, 1, {"x": 2**63}]}, "/body", 2)
    assert spelled == [long, "2", "x"]
    assert caught.value.pointer == f"/body/{long}/2/x"


def test_the_first_fault_in_the_order_of_writing_is_named() -> None:
    with pytest.raises(UnstorableValue) as caught:
        check_value({"a": [1, {"\0": 2**63}], "b": 2**63})
    assert (caught.value.pointer, caught.value.code) == ("/a/1/\0", "nul_in_key")
