"""How much work a schema makes: bounded, whatever refers to what."""

from typing import Any

import pytest

from app.apps.json_schemas import Schema
from app.errors import Invalid


def doubled(levels: int, name: str = "#/$defs/", *, below: bool = False) -> dict[str, Any]:
    """Schemas that each refer to the next one twice: a few of them, and a look is a million."""

    def twice(number: int) -> dict[str, Any]:
        part: Any = {"$ref": f"{name}{number + 1}"}
        return {"allOf": [{"properties": {"a": part}} if below else part] * 2}

    parts = {str(number): twice(number) for number in range(levels)} | {str(levels): {}}
    return {key: {"$anchor": f"d{key}", **part} for key, part in parts.items()}


def chained(length: int) -> dict[str, Any]:
    chain = {str(number): {"$ref": f"#/$defs/{number + 1}"} for number in range(length)}
    return {**chain, str(length): {"type": "string"}}


def unevaluated(levels: int) -> Any:
    schema: Any = {"properties": {"a": True}}
    for _ in range(levels):
        schema = {"unevaluatedProperties": False, "allOf": [schema]}
    return schema


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ({"$ref": "#/$defs/0", "$defs": doubled(14)}, "too_many"),
        ({"$ref": "#d0", "$defs": doubled(14, "#d")}, "too_many"),
        ({"$ref": "#/$defs/%30", "$defs": doubled(14)}, "too_many"),
        ({"$ref": "#/$defs/0", "$defs": doubled(14, below=True)}, "too_many"),
        (unevaluated(12), "too_many"),
        ({"$ref": "#/$defs/0", "$defs": chained(1200)}, "too_deep"),
    ],
    ids=["pointers", "anchors", "encoded", "below", "unevaluated", "chain"],
)
def test_a_schema_that_would_work_for_ever_is_refused(schema: Any, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        Schema("k", schema)
    assert [(each["pointer"], each["code"]) for each in refused.value.errors] == [
        ("/schemas/k", code)
    ]


BRANCH = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}
TREE = {"anyOf": [{"type": "string"}, BRANCH, BRANCH | {"minProperties": 1}]}


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = {"a": leaf}
    return leaf


HUGE = 256 * 1024 - 1


@pytest.mark.parametrize(
    ("schema", "value", "pointer"),
    [
        (TREE, nested(60, 1), ""),  # two ways at each of 60 levels
        ({"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "null"}}]}, [0] * HUGE, ""),
        ({"items": {"type": "string"}}, [0] * HUGE, "/0"),
        ({"items": {"enum": [str(number) for number in range(1000)]}}, ["x"] * (HUGE // 2), "/0"),
        (
            {"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "null"}}},
            [None] * 50_000 + [1],
            "/50000",
        ),
        ({"type": "object"}, [0] * HUGE, ""),
        ({"pattern": "^(a+)+$"}, "a" * 400_000 + "b", ""),
        ({"uniqueItems": True}, [*range(70_000), 7], ""),
        ({"$ref": "#"} | {"type": "null"}, 1, ""),
        (
            {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False},
            nested(50, {"b": 1}),
            "/a" * 50 + "/b",
        ),
    ],
    ids=[
        "tree",
        "branches",
        "large",
        "options",
        "refs",
        "type",
        "regex",
        "unique",
        "itself",
        "deep",
    ],
)
def test_no_value_takes_long_to_be_refused(schema: Any, value: Any, pointer: str) -> None:
    """Each took from seconds to for ever where the library was asked for all that is wrong."""
    assert [fault["pointer"] for fault in Schema("k", schema).faults(value)][:1] == [pointer]


def test_a_value_with_more_members_than_its_schema_can_check_is_told_so() -> None:
    """A third of a second is what a check takes at most: this one took ten."""
    schema = Schema("k", {"allOf": [{"items": {"minimum": 0}}] * 2500})
    assert schema.faults([1] * 1000) == []
    assert [fault["code"] for fault in schema.faults([1] * HUGE)] == ["too_long"]


def test_recursion_is_no_work() -> None:
    assert Schema("k", TREE).faults(nested(60, "leaf")) == []
    twice = {"allOf": [{"properties": {"a": {"$ref": "#"}}}] * 2}
    assert Schema("k", twice).faults(nested(60, 1)) == []
