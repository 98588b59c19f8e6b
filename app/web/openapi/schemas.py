"""The document's schemas in a form from which generators make good clients: named, typed, and
without surprises."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from app.web.openapi.patch_bodies import COMPONENT, REF, Schema

_PAGE: Final = re.compile(r"Page_(\w+?)(?:View)?_")
_MANY: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONE: Final = ("items", "additionalProperties", "propertyNames")
_NULL: Final = {"type": "null"}
Document = dict[str, Any]


def mend_schemas(document: Document) -> None:
    """Name what is inline, and say of each schema what a generator needs to know; see the functions
    below."""
    name_components(document)
    inline_scalars(document)
    rename(document)
    for parameter in _parameters(document):
        _drop_null(parameter)
    for schema in schemas_of(document):
        _drop_titles_and_defaults(schema)
        _open_objects(schema)
    for answer in _answers(document):
        _separate_statuses(answer)


def schemas_of(document: Document) -> Iterator[Schema]:
    """Every schema of components, bodies, answers and parameters, the inner ones too."""
    yield from within(document["components"]["schemas"])
    yield from within(
        [part["schema"] for content in _contents(document) for part in content.values()]
    )
    yield from within([parameter["schema"] for parameter in _parameters(document)])


def within(node: Any) -> Iterator[Schema]:
    """The schemas of a list or by name, and those in them."""
    for schema in node.values() if isinstance(node, dict) else node:
        yield schema
        yield from within(schema.get("properties", {}))
        yield from within(schema.get("patternProperties", {}))
        yield from within(schema.get("$defs", {}))
        yield from within([part for key in _MANY for part in schema.get(key, [])])
        yield from within([schema[key] for key in _ONE if isinstance(schema.get(key), dict)])


def operations_of(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _parameters(document: Document) -> Iterator[dict[str, Any]]:
    for _, _, operation in operations_of(document):
        yield from operation.get("parameters", [])


def _answers(document: Document) -> Iterator[dict[str, Any]]:
    for _, _, operation in operations_of(document):
        yield operation["responses"]


def _contents(document: Document) -> Iterator[dict[str, Any]]:
    for _, _, operation in operations_of(document):
        for part in (operation.get("requestBody", {}), *operation["responses"].values()):
            yield part.get("content", {})


def name_components(document: Document) -> None:
    """Put each schema that is marked with its name among the components, and a reference in its
    place.

    Raises:
        ValueError: two schemas of one name differ.
    """
    named = document["components"]["schemas"]
    for schema in list(schemas_of(document)):
        for inner, definition in schema.pop("$defs", {}).items():
            _add(named, inner, definition)
        if (name := schema.pop(COMPONENT, None)) is not None:
            _add(named, name, dict(schema))
            schema.clear()
            schema["$ref"] = REF + name


def _add(named: dict[str, Schema], name: str, schema: Schema) -> None:
    if named.setdefault(name, schema) != schema:
        raise ValueError(f"two schemas are named {name}")


def inline_scalars(document: Document) -> None:
    """Put the components that pydantic makes of ids, which are mere strings, where they are
    referred to."""
    named = document["components"]["schemas"]
    scalar = named.pop("PydanticObjectId", {})
    scalar.pop("example", None)  # the id of nobody
    scalars = {REF + "PydanticObjectId": scalar}
    for schema in schemas_of(document):
        if schema.get("$ref") in scalars:
            schema.update(scalars[schema.pop("$ref")] | schema)


def rename(document: Document) -> None:
    """Name pages after what they hold, and what is sent in another form than it is answered
    `...Input`."""
    named = document["components"]["schemas"]
    names = {name: _better(name) for name in named}
    if twice := [name for name, new in names.items() if list(names.values()).count(new) > 1]:
        raise ValueError(f"schemas would have one name: {', '.join(twice)}")
    document["components"]["schemas"] = {names[name]: schema for name, schema in named.items()}
    for schema in schemas_of(document):
        if "$ref" in schema:
            schema["$ref"] = REF + names[schema["$ref"].removeprefix(REF)]


def _better(name: str) -> str:
    if page := _PAGE.fullmatch(name):
        return f"{page[1]}Page"
    return name.removesuffix("-Output").replace("-Input", "Input")


def _drop_titles_and_defaults(schema: Schema) -> None:
    """A title would be a property's name once more. A default makes generators require what may be
    left out."""
    schema.pop("title", None)
    if (default := schema.pop("default", None)) is not None:
        said = f"`{json.dumps(default)}` where it is left out."
        schema["description"] = (
            f"{schema['description']} {said}" if "description" in schema else said
        )


def _drop_null(parameter: dict[str, Any]) -> None:
    """A parameter is left out, never null."""
    schema = parameter["schema"]
    parts = [part for part in schema.get("anyOf", []) if part != _NULL]
    if len(parts) == 1:
        parameter["schema"] = {
            **parts[0],
            **{key: part for key, part in schema.items() if key != "anyOf"},
        }
    elif parts:
        schema["anyOf"] = parts


def _open_objects(schema: Schema) -> None:
    """An object of which nothing is said takes any members; generators take it for one that has
    none."""
    kinds = schema.get("type", [])
    is_object = kinds == "object" or "object" in kinds
    if is_object and not schema.keys() & {"properties", "additionalProperties", *_MANY}:
        schema["additionalProperties"] = True


def _separate_statuses(answers: dict[str, Any]) -> None:
    """Of a route that answers by one of two statuses, FastAPI says that each may have the other's
    body."""
    bodies = {
        status: answer.get("content", {}).get("application/json")
        for status, answer in answers.items()
    }
    for status, body in bodies.items():
        parts = body.get("schema", {}).get("anyOf", []) if body else []
        others = [other["schema"] for name, other in bodies.items() if other and name != status]
        kept = [part for part in parts if part not in others]
        if parts and len(kept) == 1:
            body["schema"] = kept[0]


def complete(example: Any, schema: Schema, named: dict[str, Schema]) -> Any:
    """An example with the nulls that FastAPI takes out of the document, where the schema asks for
    them."""
    schema = named[schema["$ref"].removeprefix(REF)] if "$ref" in schema else schema
    if isinstance(example, list):
        return [complete(item, schema.get("items", {}), named) for item in example]
    if not isinstance(example, dict):
        return example
    if "properties" not in schema:
        parts = [part for key in _MANY for part in schema.get(key, []) if part != _NULL]
        return complete(example, parts[0], named) if len(parts) == 1 else example
    fields = schema["properties"]
    nulls = {
        name: None
        for name in schema.get("required", [])
        if name not in example and _takes_null(fields[name])
    }
    return nulls | {
        name: complete(part, fields.get(name, {}), named) for name, part in example.items()
    }


def _takes_null(schema: Schema) -> bool:
    return _NULL in schema.get("anyOf", []) or "null" in schema.get("type", [])
