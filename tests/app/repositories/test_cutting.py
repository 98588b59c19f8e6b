"""A large payload is cut in one pass: what tells of the repository stays, and memory does not grow
with it."""

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Invalid, MalformedJson
from app.repositories.deliveries.cutting import MOST_CHARACTERS, MOST_MEMBERS, cut
from app.repositories.hosts.registry import told_by
from models.values import check_value

REPOSITORY = {"id": 7, "full_name": "acme/notes"}


def parts_of(body: bytes, size: int = 65536) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def push(commits: int, **more: Any) -> bytes:
    commit = {
        "id": "a" * 40,
        "message": "m" * 200,
        "added": [f"path/{number}" for number in range(30)],
    }
    return orjson.dumps(
        {"ref": "refs/heads/main", "commits": [commit] * commits, **more, "repository": REPOSITORY}
    )


def test_what_stands_last_and_is_needed_is_kept() -> None:
    kept: Any = cut(
        parts_of(push(20_000, filler={f"k{number}": "x" * 500 for number in range(5000)}))
    )
    assert told_by("GitHub", "push", kept).path == "acme/notes"
    assert (kept["ref"], kept["repository"]) == ("refs/heads/main", REPOSITORY)
    assert len(kept["commits"]) == MOST_MEMBERS
    assert len(kept["commits"][0]["added"]) == MOST_MEMBERS
    assert len(orjson.dumps(kept)) < 512 * 1024


def test_memory_stays_small_while_a_payload_of_25_mb_is_cut() -> None:
    parts = parts_of(push(44_000))
    assert sum(map(len, parts)) > 24_000_000
    tracemalloc.start()
    try:
        cut(parts)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
    assert parts == []


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_what_is_small_enough_stays_as_it_is(size: int) -> None:
    payload = {
        "repository": REPOSITORY,
        "a": [1, -2.5, None, True, {"b": ["ü", "😀"]}],
        "$ref": {"x.y": ""},
    }
    assert cut(parts_of(orjson.dumps(payload), size)) == payload


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{",
            b'{"a": NaN}',
            b'{"a": 1,}',
            b'{"a": 1} x',
            b'{"a": "\xff"}',
            b'{"a": [' * 5,
            b'{"a" 1}',
        ),
        *(b"1e999", b"-1e999", b"9223372036854775808", b"1" * 5000),
    ],
)
def test_what_is_no_json_is_refused_wherever_it_is_wrong(body: bytes) -> None:
    with pytest.raises(MalformedJson):
        cut(parts_of(body, 3))
    with pytest.raises(MalformedJson):
        cut(parts_of(push(500)[:-1] + b', "x": ' + body))


@pytest.mark.parametrize("body", [b"[]", b"7", b"null", b'"a"', b'[{"a": 1}]'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        cut(parts_of(body))


@pytest.mark.parametrize(
    "odd",
    [
        b'"\\ud800"',
        b'{"\\u0000": 1}',
        b'{"' + b"k" * 5000 + b'": 1}',
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'"' + b"\xf0\x9f\x98\x80" * 5000 + b'"',
    ],
)
def test_what_cannot_be_stored_is_left_out_and_the_rest_stays(odd: bytes) -> None:
    kept: Any = cut(
        parts_of(b'{"odd": ' + odd + b', "repository": ' + orjson.dumps(REPOSITORY) + b"}")
    )
    check_value(kept)
    assert kept["repository"] == REPOSITORY
    assert len(str(kept["odd"])) <= MOST_CHARACTERS


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.text(max_size=5)
    | st.floats(-1e9, 1e9, allow_subnormal=False),
    lambda inner: (
        st.lists(inner, max_size=25)
        | st.dictionaries(st.text("ab$.", max_size=3), inner, max_size=5)
    ),
    max_leaves=60,
)


def shortened(value: Any) -> Any:
    """The rule for lists, told once more."""
    if isinstance(value, list):
        return [shortened(each) for each in value[:MOST_MEMBERS]]
    if isinstance(value, dict):
        return {name: shortened(each) for name, each in value.items()}
    return value


@given(
    payload=st.dictionaries(st.text("abc", max_size=3), values, max_size=6), size=st.integers(1, 40)
)
def test_only_the_ends_of_lists_are_missing_of_what_fits(
    payload: dict[str, Any], size: int
) -> None:
    assert cut(parts_of(orjson.dumps(payload), size)) == shortened(payload)
