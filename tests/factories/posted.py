"""What the path of a route names and a `POST` to the path before it makes, as `/v1/api-keys` does
for `/v1/api-keys/{keyId}`: made by that route's example."""

import re

from tests.described import DOCUMENT, OPERATIONS
from tests.factories.bodies import BODIES, CANNOT_SERVE
from tests.harness import Caller


def makes(path: str) -> bool:
    """Whether the example of a `POST` there makes what has an id."""
    if f"POST {path}" in CANNOT_SERVE:
        return False
    answered = OPERATIONS.get(f"POST {path}", {}).get("responses", {}).get("201", {})
    schema = answered.get("content", {}).get("application/json", {}).get("schema", {})
    named = schema.get("$ref", "/").rsplit("/", 1)[1]
    return "id" in DOCUMENT["components"]["schemas"].get(named, schema).get("properties", {})


MAKERS = {
    match[2]: match[1]
    for path in DOCUMENT["paths"]
    if (match := re.fullmatch(r"(/.+)/\{(\w+)\}", path)) and makes(match[1])
}
"""A parameter -> the path to which a `POST` makes what it names: `keyId` -> `/v1/api-keys`."""


def names_in(path: str) -> list[str]:
    """The parameters of a path, in their order."""
    return re.findall(r"\{(\w+)\}", path)


def makers_of(path: str) -> dict[str, str]:
    """The makers of what a path names, the outermost first."""
    return {
        name: place
        for name in names_in(path)
        if (place := MAKERS.get(name)) and path.startswith(f"{place}/")
    }


async def there(caller: Caller, route: str, user_id: str, **known: str) -> dict[str, str]:
    """Make what the path of a route names and that is not known yet, about this user.

    Args:
        caller: who makes it.
        route: `DELETE /v1/api-keys/{keyId}`.
        user_id: whose it is.
        known: what parameters stand for already.

    Returns:
        The ids by parameter.
    """
    found: dict[str, str] = {}
    for name, place in makers_of(route.split(" ")[1]).items():
        if name not in known:
            path = place.format(**known | found | {"userId": user_id})
            found[name] = await posted(caller, place, path)
    return found


async def posted(caller: Caller, place: str, path: str) -> str:
    """The id of what the example of a `POST` makes; the path is its place, filled in."""
    answer = await caller.post(path, json=BODIES[f"POST {place}"])
    assert answer.status_code == 201, f"POST {path}, by its example: {answer.text}"
    return str(answer.json()["id"])
