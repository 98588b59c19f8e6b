"""What the document promises to those who make clients from it: each rule is a test over all of its
schemas."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from app.errors.codes import FIELD_CODES, Code
from app.web.openapi.patch_bodies import JSON_PATCH, MERGE_PATCH, REF
from app.web.openapi.schemas import within
from models.base import Fields
from tests.described import APP, DOCUMENT, OPERATIONS, examples_of

Schema = dict[str, Any]
SCHEMAS: dict[str, Schema] = DOCUMENT["components"]["schemas"]
PATCHED = [name for name in OPERATIONS if name.startswith("PATCH ")]
BATCH = "POST /v1/users/{userId}/apps/{appId}/batch"
UNGUARDED = {BATCH, "GET /v1/users/{userId}/apps/{appId}/data"}
"""A batch tells of each write; a list has an ETag, and no other precondition."""
GUARDED = [
    name
    for name, operation in OPERATIONS.items()
    if operation["responses"].keys() & {"304", "412"} and name not in UNGUARDED
]
OPERATIONS_OF_PATCHES = {
    "add": {"op", "path", "value"},
    "remove": {"op", "path"},
    "replace": {"op", "path", "value"},
    "move": {"op", "path", "from"},
    "copy": {"op", "path", "from"},
    "test": {"op", "path", "value"},
    "increment": {"op", "path", "value"},
}
LEFT_OUT = {
    "AppDataPage": {"count"},
    "AppDataEnvelope": {"value", "expiresAt"},
    "AppDataVersion": {"value"},
    "AppDataItem": {"value", "createdAt", "updatedAt", "expiresAt", "user"},
    "AppDataResult": {
        "version",
        "value",
        "createdAt",
        "updatedAt",
        "expiresAt",
        "deleted",
        "errors",
        "current",
    },
    "ProblemBody": {"errors"},
}
"""What is by design not in every answer of the schemas that are written by hand."""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def resolved(schema: Schema) -> Schema:
    return resolved(SCHEMAS[schema["$ref"].removeprefix(REF)]) if "$ref" in schema else schema


def contents(name: str, *, answers: bool) -> Iterator[tuple[str, Schema]]:
    """Status or `body` and media type object of what an operation takes, or answers with."""
    operation = OPERATIONS[name]
    parts = operation["responses"] if answers else {"body": operation.get("requestBody", {})}
    for status, part in parts.items():
        for media in part.get("content", {}).values():
            yield status, media


def every_schema() -> Iterator[Schema]:
    yield from within(SCHEMAS)
    for name in OPERATIONS:
        for answers in (True, False):
            yield from within([media["schema"] for _, media in contents(name, answers=answers)])


def reached(roots: list[Schema]) -> set[str]:
    """The names of the schemas that these refer to, and those refer to."""
    found: set[str] = set()
    waiting = list(within(roots))
    while waiting:
        name = str(waiting.pop().get("$ref", "")).removeprefix(REF)
        if name and name not in found:
            found.add(name)
            waiting += within([SCHEMAS[name]])
    return found


def bodies(*, answers: bool) -> list[Schema]:
    return [media["schema"] for name in OPERATIONS for _, media in contents(name, answers=answers)]


@pytest.mark.parametrize("name", PATCHED)
def test_a_patch_names_its_fields_and_takes_both_kinds_merge_patch_first(name: str) -> None:
    content = OPERATIONS[name]["requestBody"]["content"]
    assert list(content) == [MERGE_PATCH, JSON_PATCH]
    assert content[JSON_PATCH]["schema"] == {"$ref": REF + "JsonPatch"}
    merged = content[MERGE_PATCH]["schema"]
    if "{dataKey}" not in name:
        assert re.fullmatch(REF + r"\w+Patch", merged["$ref"])
        assert resolved(merged)["properties"]
        assert "required" not in resolved(merged)
        assert resolved(merged)["additionalProperties"] is False


def test_a_patch_of_a_part_has_no_required_field_either() -> None:
    parts = reached(
        [content["schema"] for name in PATCHED for _, content in contents(name, answers=False)]
    )
    inner = {name for name in parts if name.endswith("Patch") and name != "JsonPatch"}
    assert {"AvatarPatch", "NotificationsPatch", "WidgetsPatch", "DashboardPatch"} <= inner
    assert not [name for name in inner if SCHEMAS[name].get("required")]


def test_operations_of_json_patch_are_told_apart_by_op_and_have_what_they_need() -> None:
    operation = resolved(resolved({"$ref": REF + "JsonPatch"})["items"])
    mapping = operation["discriminator"]["mapping"]
    assert operation["discriminator"]["propertyName"] == "op"
    assert [part["$ref"] for part in operation["oneOf"]] == list(mapping.values())
    kinds = {op: resolved({"$ref": ref}) for op, ref in mapping.items()}
    assert {op: set(kind["required"]) for op, kind in kinds.items()} == OPERATIONS_OF_PATCHES
    assert all(set(kind["properties"]) == set(kind["required"]) for kind in kinds.values())
    assert all(
        kind["properties"]["op"] == {"type": "string", "const": op} for op, kind in kinds.items()
    )


@pytest.mark.parametrize("name", GUARDED)
def test_a_mismatch_says_of_what_type_its_current_is(name: str) -> None:
    path = name.split(" ")[1]
    mismatch = OPERATIONS[name]["responses"]["412"]["content"]["application/problem+json"]
    assert re.fullmatch(REF + r"\w+Mismatch", mismatch["schema"]["$ref"])
    problem = resolved(mismatch["schema"])
    assert problem["properties"].items() >= SCHEMAS["ProblemBody"]["properties"].items()
    assert set(problem["required"]) == {*SCHEMAS["ProblemBody"]["required"], "current"}
    current, null = problem["properties"]["current"]["anyOf"]
    assert null == {"type": "null"}
    assert "version" in resolved(current)["required"]
    if "{dataKey}" not in path:
        read = OPERATIONS.get(f"GET {path}", OPERATIONS[name])  # what nothing reads it answers
        shown = read["responses"]["200"]["content"]["application/json"]["schema"]
        assert resolved(current)["properties"].items() >= resolved(shown)["properties"].items()
    if "example" in mismatch:
        assert mismatch["example"]["current"]["version"] == 3


def test_the_412_of_a_batch_tells_of_each_write() -> None:
    refusal = resolved(problem_of(BATCH, "412")["schema"])
    assert refusal["properties"].items() >= SCHEMAS["ProblemBody"]["properties"].items()
    assert refusal["properties"]["results"]["items"] == {"$ref": REF + "AppDataResult"}
    assert not [each for each in OPERATIONS[BATCH]["parameters"] if each["name"].startswith("If-")]


def test_every_mismatch_but_few_shows_an_example() -> None:
    with_example = [name for name in GUARDED if "example" in problem_of(name, "412")]
    assert len(with_example) > len(GUARDED) * 0.8


def problem_of(name: str, status: str) -> Schema:
    content: dict[str, Schema] = OPERATIONS[name]["responses"][status]["content"]
    return content["application/problem+json"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_other_problem_is_the_one_problem(name: str) -> None:
    failures = {status for status in OPERATIONS[name]["responses"] if int(status) >= 400} - {"412"}
    assert all(
        problem_of(name, status)["schema"] == {"$ref": REF + "ProblemBody"} for status in failures
    )


def test_codes_are_enums() -> None:
    codes = resolved(SCHEMAS["ProblemBody"]["properties"]["code"])
    assert codes["enum"] == [code.value for code in Code]
    assert SCHEMAS["FieldError"]["properties"]["code"]["enum"] == list(FIELD_CODES)


def test_nothing_is_an_object_of_which_nothing_is_said() -> None:
    """Generators take `{"type": "object"}` for an object that has no members."""
    for schema in every_schema():
        if "object" in (schema.get("type"), *(schema.get("type") or ())):
            assert schema.keys() & {"properties", "additionalProperties"}, schema


def test_no_schema_has_a_default_or_a_title() -> None:
    """Of a default generators make a required field, of a title another name for what has one."""
    assert not [schema for schema in every_schema() if schema.keys() & {"default", "title"}]


def test_no_schema_is_named_as_generators_name_the_enum_of_a_property() -> None:
    inline = {
        f"{name}{field[0].upper()}{field[1:]}"
        for name, schema in SCHEMAS.items()
        for field, described in schema.get("properties", {}).items()
        if any("enum" in part or "const" in part for part in within([described]))
    }
    assert "MemberRole" in inline
    assert not inline & SCHEMAS.keys()


def test_names_are_words() -> None:
    assert not [name for name in SCHEMAS if not re.fullmatch(r"([A-Z][a-z]+)+", name)]


def test_every_schema_is_used() -> None:
    assert reached([*bodies(answers=True), *bodies(answers=False)]) == SCHEMAS.keys()


def fields_left_out() -> dict[str, set[str]]:
    """Schema -> its fields that are left out of an answer when there is nothing to say."""

    def kinds(parent: type[Fields]) -> Iterator[type[Fields]]:
        for kind in parent.__subclasses__():
            yield kind
            yield from kinds(kind)

    return {
        kind.__name__: {
            str(field.alias or name)
            for name, field in kind.model_fields.items()
            if field.exclude_if
        }
        for kind in kinds(Fields)
    }


def test_what_is_always_in_an_answer_is_required() -> None:
    left_out = fields_left_out() | LEFT_OUT
    assert left_out["ProfileView"] == {"user"}
    for name in reached(bodies(answers=True)):
        schema = SCHEMAS[name]
        optional = schema.get("properties", {}).keys() - set(schema.get("required", []))
        problem = {"errors"} if name.endswith(("Mismatch", "BatchRefusal")) else set()
        assert optional == left_out.get(name, problem), name


def test_what_a_body_may_leave_out_is_not_required() -> None:
    """Of a model of ours: what has a default."""
    assert SCHEMAS["PreferencesReplacement"].get("required") is None
    assert SCHEMAS["CardContent"]["required"] == ["userId", "lastFour"]
    assert SCHEMAS["NotificationsInput"].get("required") is None
    assert SCHEMAS["Notifications"]["required"] == ["email", "push", "inApp"]


def moments(example: Any, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The times that an example holds, each with the schema at its place."""
    schema = resolved(schema)
    parts = [resolved(part) for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, [])]
    if isinstance(example, str) and MOMENT.fullmatch(example):
        yield example, next((part for part in parts if part.get("type") == "string"), schema)
    elif isinstance(example, list):
        inner = next((part for part in [schema, *parts] if "items" in part), {})
        for item in example:
            yield from moments(item, inner.get("items", {}))
    elif isinstance(example, dict):
        inner = next((part for part in [schema, *parts] if "properties" in part), {})
        for field, value in example.items():
            if field in inner.get("properties", {}):
                yield from moments(value, inner["properties"][field])


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_time_in_an_example_is_a_date_time(name: str) -> None:
    for answers in (True, False):
        for _, media in contents(name, answers=answers):
            for example in examples_of(media):
                for moment, schema in moments(example, media["schema"]):
                    assert schema.get("format") == "date-time", moment


def test_every_property_that_is_named_like_a_time_is_a_date_time() -> None:
    like = re.compile(r"\w+(At|Until)|at|timestamp|lastLogin|time|finishedAt")
    found = {
        f"{name}.{field}": [part for part in within([described]) if part.get("type") == "string"]
        for name, schema in SCHEMAS.items()
        for field, described in schema.get("properties", {}).items()
        if like.fullmatch(field)
    }
    assert {
        "UserView.createdAt",
        "UserView.lastLogin",
        "ApiKeyContent.expiresAt",
        "Receipt.at",
    } <= found.keys()
    assert [name for name, parts in found.items() if not parts] == []
    assert [
        name
        for name, parts in found.items()
        if any(part.get("format") != "date-time" for part in parts)
    ] == []


def test_no_parameter_is_null() -> None:
    parameters = [
        parameter
        for operation in OPERATIONS.values()
        for parameter in operation.get("parameters", [])
    ]
    schemas = list(within([parameter["schema"] for parameter in parameters]))
    assert schemas
    assert not [schema for schema in schemas if schema.get("type") == "null" or "title" in schema]


def routes_in(routes: Any) -> Iterator[APIRoute]:
    for route in routes:
        inner = getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", None
        )
        if inner:
            yield from routes_in(inner)
        elif isinstance(route, APIRoute):
            yield route


def test_every_route_that_takes_an_idempotency_key_says_so() -> None:
    taking = {
        f"{method} {route.path}"
        for route in routes_in(APP.routes)
        for method in route.methods
        if "_claim" in [getattr(part.call, "__name__", "") for part in route.dependant.dependencies]
    }
    value = "/v1/users/{userId}/apps/{appId}/data/{dataKey}"
    taking |= {BATCH, *(f"{method} {value}" for method in ("PUT", "PATCH", "DELETE"))}
    assert len(taking) > 15
    said = {
        name
        for name, operation in OPERATIONS.items()
        if any(
            parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", [])
        )
    }
    assert said == taking
