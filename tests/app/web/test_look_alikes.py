"""What only looks like a number, a boolean or a text is refused by every body, and named.

An integer is what JSON Schema says that it is: a number without a fraction, `5.0` among them.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

from tests.factories.operations import BODIES, MERGE, operations
from tests.harness import Api

Schema = dict[str, Any]
Place = tuple[str, ...]
LOOK_ALIKES: Final[dict[str, list[Any]]] = {
    "integer": ["5", True, 5.5, "true"],
    "number": ["5", True],
    "boolean": ["true", "yes", 1, 0, 1.0],
    "string": [5, 1.5, True],
}
KINDS: Final = {bool: "boolean", int: "integer", float: "number", str: "string"}
MEDIA: Final = ("application/json", "application/merge-patch+json")
FREE: Final = {
    "POST /v1/webhooks/teller",
    "POST /v1/webhooks/{service}/{connectionId}",
    "POST /v1/batch",
    "POST /v1/m",
    *(f"POST /v1/{each}" for each in ("track", "identify", "page", "screen", "group", "alias")),
    "PUT /v1/users/{userId}/apps/{appId}/data/{dataKey}",
    "PATCH /v1/users/{userId}/apps/{appId}/data/{dataKey}",
}
"""Bodies of which OpenAPI says nothing: any JSON, and what hosts and libraries of others send."""
BATCH: Final = "POST /v1/users/{userId}/apps/{appId}/batch"
BASES: Final = {**BODIES, BATCH: {"writes": [{"dataKey": "a"}]}}
EVENTS: Final = "POST /v1/analytics/events"
"""Of an array of events those that are amiss are set aside; of one, it is refused."""
BY_LINES: Final = "POST /v1/users/import"
"""Each line is answered for itself; its lines are the bodies of `PUT /v1/users/by/…`."""


def resolved(schema: Schema, components: Schema) -> list[Schema]:
    """What a schema may be, each as it is written out."""
    if "$ref" in schema:
        return resolved(components[schema["$ref"].rsplit("/", 1)[1]], components)
    parts = schema.get("anyOf", schema.get("oneOf"))
    if parts is None:
        return [schema]
    return [found for part in parts for found in resolved(part, components)]


def kinds(forms: list[Schema]) -> set[str] | None:
    """The types that are taken; None where anything is."""
    found = set()
    for form in forms:
        value = form.get("const", (form.get("enum") or [None])[0])
        kind = form.get("type", KINDS.get(type(value)))
        if kind is None:
            return None
        found |= {kind} if isinstance(kind, str) else {*kind}
    return found


def fields(
    schema: Schema, components: Schema, place: Place = ()
) -> Iterator[tuple[Place, set[str]]]:
    """The fields of a body at any depth, and the types that each takes."""
    forms = resolved(schema, components)
    taken = kinds(forms)
    if taken is None or len(place) > 5:
        return
    if place and taken & LOOK_ALIKES.keys() and not any(form.get("readOnly") for form in forms):
        yield place, taken
    for form in forms:
        for name, part in form.get("properties", {}).items():
            if not part.get("readOnly") and name != "jsonPatch":  # tests/app/web/test_increment.py
                yield from fields(part, components, (*place, name))
        if isinstance(form.get("items"), dict):
            yield from fields(form["items"], components, (*place, "0"))
        if isinstance(form.get("additionalProperties"), dict):
            yield from fields(form["additionalProperties"], components, (*place, "x"))


def put(body: Any, place: Place, value: Any) -> Any:
    """The body with a value at a place."""
    if not place:
        return value
    name, rest = place[0], place[1:]
    if name == "0":
        inner = body[0] if isinstance(body, list) and body else None
        return [put(inner, rest, value)]
    found = dict(body) if isinstance(body, dict) else {}
    return found | {name: put(found.get(name), rest, value)}


def sent(name: str) -> tuple[str, Schema] | None:
    """The media type and the schema of the JSON that an operation takes."""
    content = operations()[name].get("requestBody", {}).get("content", {})
    return next(((each, content[each]["schema"]) for each in MEDIA if each in content), None)


def errors_of(answer: Any) -> list[Schema]:
    """What an answer refuses; a batch answers for each of its writes."""
    body = answer.json() if answer.content else {}
    refused = [body] if answer.status_code == 422 else body.get("results", [])
    return [each for one in refused for each in one.get("errors", [])]


def named_in(answer: Any) -> set[str]:
    """The fields that an answer refuses."""
    return {each["pointer"] for each in errors_of(answer)}


Asked = tuple[str, Place, set[str], Callable[[Any], Awaitable[Any]]]


async def asked(api: Api, ids: dict[str, str]) -> AsyncIterator[Asked]:
    """Every field of every body, the types that it takes, and a request with a value in it."""
    components = api.app.openapi()["components"]["schemas"]
    callers = {True: await api.key("admin"), False: api.token(ids["userId"])}
    for name, operation in operations().items():
        found = sent(name)
        if found is None or name in FREE:
            continue
        method, template = name.split(" ")
        path = re.sub(r"{(\w+)}", lambda match: ids[match[1]], template)
        headers = MERGE if found[0] == MEDIA[1] else {}
        caller = callers[operation["x-satchel-access"]["scope"] is not None]
        for place, taken in fields(found[1], components):
            if name == EVENTS and place[0] == "0":
                continue

            async def ask(
                value: Any, of: Any = (caller, name, method, path, headers, place)
            ) -> Any:
                caller, name, method, path, headers, place = of
                body = put(BASES.get(name, {}), place, value)
                return await caller.request(method, path, json=body, headers=headers)

            yield name, place, taken, ask


async def test_every_body_refuses_what_only_looks_like_its_types_and_names_the_field(
    opened: tuple[Api, dict[str, str]],
) -> None:
    wrong, seen = [], set()
    async for name, place, taken, ask in asked(*opened):
        pointer = "/" + "/".join(place)
        seen |= taken
        for value in [value for kind in LOOK_ALIKES.keys() & taken for value in LOOK_ALIKES[kind]]:
            if KINDS[type(value)] in taken or (type(value) is int and "number" in taken):
                continue
            answer = await ask(value)
            if pointer not in named_in(answer):
                wrong.append((name, pointer, value, answer.status_code, answer.text))
    assert wrong == []
    assert seen >= LOOK_ALIKES.keys() - {"number"}


async def test_a_number_without_a_fraction_is_an_integer(
    opened: tuple[Api, dict[str, str]],
) -> None:
    wrong, seen = [], 0
    async for name, place, taken, ask in asked(*opened):
        if "integer" in taken:
            answer, seen = await ask(5.0), seen + 1
            codes = {
                each["code"]
                for each in errors_of(answer)
                if each["pointer"] == "/" + "/".join(place)
            }
            if codes & {"wrong_type", "malformed"}:
                wrong.append((name, place, answer.text))
    assert wrong == []
    assert seen > 10
