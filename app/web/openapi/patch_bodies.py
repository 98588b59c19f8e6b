"""What OpenAPI says of a body that patches: the fields that may change, and the operations of JSON
Patch."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

COMPONENT: Final = "x-satchel-component"
"""Marks an inline schema that `app.openapi` puts among the components, under the name that stands
here."""
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+JSON"
"""A media type has no case (RFC 9110, section 8.3.1). Spelled so, openapi-python-client leaves the
type out; spelled in small letters it makes a client that fails at each PATCH, since it cannot tell
an array from another body."""
REF: Final = "#/components/schemas/"
Schema = dict[str, Any]

_POINTER: Final[Schema] = {"type": "string", "format": "json-pointer", "description": "RFC 6901."}
_VALUE: Final[Schema] = {"description": "Any JSON value."}
_NUMBER: Final[Schema] = {"type": "number", "description": "What is added; an integer or a double."}
_OPERATIONS: Final[Mapping[str, tuple[str, str]]] = {
    "add": ("Put a value in; an element of an array moves those behind it.", "value"),
    "remove": ("Take a value away.", ""),
    "replace": ("Put a value in the place of another.", "value"),
    "move": ("Take a value away from one place and put it into another.", "from"),
    "copy": ("Put the value of one place into another.", "from"),
    "test": ("Go on only if the value is this one; else 409 `patch_test_failed`.", "value"),
    "increment": (
        (
            "Add to a number; a member that is not there begins as what is added. An extension: RFC"
            " 6902 has no such step."
        ),
        "value",
    ),
}


def component(name: str, schema: Schema) -> Schema:
    """A schema that is to be named; its `$defs` are named too."""
    return {COMPONENT: name, **schema}


def answer_component(name: str, view: type[BaseModel]) -> Schema:
    """The schema of what is answered, named."""
    return component(
        name, view.model_json_schema(mode="serialization", ref_template=REF + "{model}")
    )


def json_patch_schemas() -> dict[str, Schema]:
    """`JsonPatch` and its operations (RFC 6902), by name, and that of our `increment`."""
    made = {
        f"JsonPatch{name.capitalize()}": _operation(name, *said)
        for name, said in _OPERATIONS.items()
    }
    mapping = dict(zip(_OPERATIONS, (REF + name for name in made), strict=True))
    operation = {
        "description": "One step of a JSON Patch (RFC 6902).",
        "oneOf": [{"$ref": ref} for ref in mapping.values()],
        "discriminator": {"propertyName": "op", "mapping": mapping},
    }
    patch = {
        "description": "Steps that are taken in order, all or none (RFC 6902).",
        "type": "array",
        "maxItems": 1000,
        "items": {"$ref": REF + "JsonPatchOperation"},
    }
    return {**made, "JsonPatchOperation": operation, "JsonPatch": patch}


def _operation(name: str, description: str, further: str) -> Schema:
    properties: Schema = {"op": {"type": "string", "const": name}, "path": _POINTER}
    if further:
        properties[further] = (
            _POINTER if further == "from" else _NUMBER if name == "increment" else _VALUE
        )
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
    }


def patches(
    content: type[BaseModel], merged: Mapping[str, Any], operations: list[dict[str, Any]]
) -> dict[str, Any]:
    """OpenAPI's `requestBody` of a route that takes both kinds of patch.

    Args:
        content: the fields that may change.
        merged: an example of a merge patch.
        operations: an example of a JSON Patch.
    """
    return {"requestBody": patch_body(merge_patch(content), merged, operations)}


def patch_body(schema: Schema, merged: Any, operations: list[dict[str, Any]]) -> dict[str, Any]:
    """OpenAPI's description of a body that is a merge patch of this schema, or a JSON Patch."""
    return {
        "required": True,
        "content": {
            MERGE_PATCH: {"schema": schema, "example": merged},
            JSON_PATCH: {"schema": {"$ref": REF + "JsonPatch"}, "example": operations},
        },
    }


def merge_patch(content: type[BaseModel]) -> Schema:
    """The schema of a merge patch (RFC 7396) of some fields: each may be left out, null takes away
    what may be absent.

    Args:
        content: the fields; `ProfileContent` and `ProfileChange` make a `ProfilePatch`.
    """
    schema = content.model_json_schema(ref_template=REF + "{model}")
    defs = schema.pop("$defs", {})
    patched: dict[str, Schema] = {}
    name = content.__name__.removesuffix("Content").removesuffix("Change")
    made = _patch_of(schema, defs, patched)
    description = (
        "What is to change: a field that is left out stays, null takes one away (RFC 7396)."
    )
    return component(f"{name}Patch", {**made, "description": description, "$defs": patched})


def _patch_of(schema: Schema, defs: Mapping[str, Schema], patched: dict[str, Schema]) -> Schema:
    """The patch of what a schema describes: of an object's fields and of a map's values; of
    anything else, itself."""
    schema = {key: part for key, part in schema.items() if key not in ("default", "title")}
    if "$ref" in schema:
        return {**schema, "$ref": _patch_of_named(schema["$ref"].removeprefix(REF), defs, patched)}
    if "anyOf" in schema:
        return {**schema, "anyOf": [_patch_of(part, defs, patched) for part in schema["anyOf"]]}
    if "properties" in schema:
        needed = schema.pop("required", [])
        fields = {
            name: (
                _patch_of(field, defs, patched)
                if name in needed
                else _nullable(_patch_of(field, defs, patched))
            )
            for name, field in schema["properties"].items()
        }
        return {**schema, "properties": fields}
    if isinstance(schema.get("additionalProperties"), dict):
        return {
            **schema,
            "additionalProperties": _nullable(
                _patch_of(schema["additionalProperties"], defs, patched)
            ),
        }
    return schema


def _patch_of_named(name: str, defs: Mapping[str, Schema], patched: dict[str, Schema]) -> str:
    if "properties" not in defs[name]:
        patched[name] = defs[name]
        return REF + name
    if f"{name}Patch" not in patched:
        patched[f"{name}Patch"] = _patch_of(defs[name], defs, patched)
    return f"{REF}{name}Patch"


def _nullable(schema: Schema) -> Schema:
    parts = schema.get("anyOf", [])
    if {"type": "null"} in parts or not schema.keys() - {"description"}:
        return schema
    if parts:
        return {**schema, "anyOf": [*parts, {"type": "null"}]}
    outer = {key: part for key, part in schema.items() if key == "description"}
    return {
        **outer,
        "anyOf": [
            {key: part for key, part in schema.items() if key not in outer},
            {"type": "null"},
        ],
    }
