"""The texts by which declared queries sort: in the order of the values, whatever they are."""

from itertools import pairwise
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from models.app import DeclaredQuery, QueryKey
from models.app_data_queries import LONGEST_TEXT, Query, Span

ME = ObjectId()
IN_ORDER = [
    *(
        None,
        False,
        True,
        -(2**63),
        -(2**53) - 1,
        float(-(2**53)),
        -1.5,
        -1,
        -5e-324,
        0,
        5e-324,
        0.5,
        1,
        1.5,
        2,
    ),
    *(10, 2**53, 2**53 + 1, 2**63 - 1025, 2**63 - 1, 1e300),
    *(
        "",
        "\0",
        "\0\0",
        "\1",
        "\2",
        "1",
        "10",
        "2",
        "A",
        "a",
        "a\0",
        "a\1",
        "ab",
        "b",
        "é",
        "\uffff",
        "😀",
    ),
]


def query(*orders: str) -> Query:
    by = [QueryKey(pointer=f"/{number}", order=order) for number, order in enumerate(orders)]  # type: ignore[arg-type]
    return Query.of("notes", DeclaredQuery(by=by))


def text(order: str, value: Any) -> bytes:
    return query(order).key_of(ME, "k", [value]).encode()


def test_values_of_all_types_have_one_order() -> None:
    rising, falling = ([text(order, value) for value in IN_ORDER] for order in ("asc", "desc"))
    assert all(one < other for one, other in pairwise(rising))
    assert all(one > other for one, other in pairwise(falling))


scalars = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-3, 3),
)
strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.one_of(st.tuples(scalars, scalars), st.tuples(strings, strings)))
def test_the_order_is_that_of_the_values(pair: tuple[Any, Any]) -> None:
    one, other = pair
    said = [text("asc", each) for each in pair], [text("desc", each) for each in reversed(pair)]
    for first, second in said:
        assert (first < second, first == second) == (one < other, one == other)


@given(st.lists(st.tuples(st.sampled_from(IN_ORDER), st.sampled_from(IN_ORDER)), max_size=8))
def test_a_later_pointer_decides_where_the_first_does_not(pairs: list[tuple[Any, Any]]) -> None:
    told = query("asc", "desc")
    rank = {(type(value), value): place for place, value in enumerate(IN_ORDER)}
    wanted = sorted(
        pairs, key=lambda pair: (rank[type(pair[0]), pair[0]], -rank[type(pair[1]), pair[1]])
    )
    assert sorted(pairs, key=lambda pair: told.key_of(ME, "k", list(pair)).encode()) == wanted


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("least", [None, 1, "a", ""])
@pytest.mark.parametrize("below", [True, 2, "b"])
def test_a_span_holds_its_first_bound_and_not_its_last(order: str, least: Any, below: Any) -> None:
    where = Span((least,), (below,)).where(query(order), ME)
    low, high = where["$gte"].encode(), where["$lt"].encode()
    found = [value for value in IN_ORDER if low <= text(order, value) < high]
    places = [[type(value) for value in IN_ORDER].index(type(each)) for each in (least, below)]
    begin, end = (
        IN_ORDER.index(each, place) for each, place in zip((least, below), places, strict=True)
    )
    assert found == IN_ORDER[begin:end]


def test_what_has_no_order_counts_as_nothing_and_long_strings_are_cut() -> None:
    nothing = {text("asc", each) for each in (None, [], {}, [1], {"a": 1})} | {
        query("asc").key_of(ME, "k", 7).encode()
    }
    assert nothing == {text("asc", None)}
    assert text("asc", "x" * LONGEST_TEXT + "a") == text("asc", "x" * LONGEST_TEXT + "b")
    assert (
        text("asc", "é" * 1000).decode() < text("asc", "é" * LONGEST_TEXT + "z").decode() + "\uffff"
    )


@pytest.mark.parametrize(
    ("pointer", "value", "found"),
    [
        ("", 5, 5),
        ("/a/1/b", {"a": [0, {"b": 5}]}, 5),
        ("/a/01", {"a": [0, 5]}, None),
        ("/a/-", {"a": [0, 5]}, None),
        ("/a/2", {"a": [0, 5]}, None),
        ("/a/²", {"a": [0, 5]}, None),
        ("/a/99999999999999999999", {"a": [0, 5]}, None),
        ("/a~1b~0/", {"a/b~": {"": 5}}, 5),
        ("/~01", {"~1": 5}, 5),
        ("/a/b", {"a": "b"}, None),
    ],
)
def test_pointers_are_those_of_the_rfc(pointer: str, value: Any, found: Any) -> None:
    named = Query.of("notes", DeclaredQuery(by=[QueryKey(pointer=pointer)]))
    assert named.key_of(ME, "k", value) == query("asc").key_of(ME, "k", [found])


def test_another_definition_has_another_id() -> None:
    one = DeclaredQuery(prefix="a", by=[QueryKey(pointer="/a")])
    others = [
        DeclaredQuery(prefix="b", by=[QueryKey(pointer="/a")]),
        DeclaredQuery(prefix="a", by=[QueryKey(pointer="/b")]),
        DeclaredQuery(prefix="a", by=[QueryKey(pointer="/a", order="desc")]),
    ]
    ids = [
        Query.of("notes", one).id,
        Query.of("boats", one).id,
        *(Query.of("notes", each).id for each in others),
    ]
    assert len(set(ids)) == len(ids)
