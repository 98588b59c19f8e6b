import json
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.values import MAX_DEPTH, UnstorableValue, check_value, escape_refs, has_refs, unescape_refs

KEYS = st.sampled_from(["$ref", "$id", "$db", "\x1b$ref", "\x1b\x1b$ref", "a.b", "$set", ""]) | st.text(
    st.characters(exclude_characters="\0", codec="utf-8"), max_size=5
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_an_escaped_value_comes_back_from_bson_as_it_was(value: Any) -> None:
    check_value(value)
    escaped = escape_refs(value)
    assert has_refs(value) == (escaped != value)
    stored = bson.decode(bson.encode({"value": escaped}))["value"]
    assert json.dumps(unescape_refs(stored)) == json.dumps(value)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_sixty_four_levels_are_taken() -> None:
    check_value(nested(MAX_DEPTH))


@pytest.mark.parametrize(
    ("value", "pointer", "code"),
    [
        ({"a": [1, 2**63]}, "/a/1", "integer_too_large"),
        ({"a/b": {"~": -(2**63) - 1}}, "/a~1b/~0", "integer_too_large"),
        ([float("nan")], "/0", "not_finite"),
        ([float("-inf")], "/0", "not_finite"),
        ({"x": {"a\0b": 1}}, "/x/a\0b", "nul_in_key"),
        (["\ud800"], "/0", "not_unicode"),
        (nested(MAX_DEPTH + 1), "/0" * MAX_DEPTH, "too_deep"),
    ],
)
def test_what_bson_would_change_is_refused_and_named(value: Any, pointer: str, code: str) -> None:
    with pytest.raises(UnstorableValue) as refused:
        check_value(value)
    assert (refused.value.pointer, refused.value.code) == (pointer, code)
