"""What somebody has, and a request to each route that would change something of it."""

import re
from typing import Any

import httpx2
from pymongo.asynchronous.database import AsyncDatabase

from tests.factories import bodies
from tests.factories.operations import MERGE
from tests.factories.parameters import placed
from tests.harness import Caller

CONNECTION = {
    "provider": "sandbox",
    "institution": "B",
    "label": "l",
    "accessToken": "sandbox-token-1",
}
REPOSITORY = {
    "repositoryUrl": "https://github.com/acme/notes",
    "serviceType": "GitHub",
    "accessToken": "t",
}
BODIES: dict[str, Any] = {
    **bodies.BODIES,
    # The person whom it is about is a member already.
    "PUT /v1/projects/{projectId}/members/{userId}": {"role": "admin"},
}
"""The examples, but where one would leave what is there (`places`, tests/app/conftest.py) as it
is."""
OTHERS = ("/users/me/invitations/{projectId}",)
"""Where the project is somebody else's."""


async def made(caller: Caller, path: str, body: Any) -> str:
    answer = await caller.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def asked(caller: Caller, route: str, places: dict[str, str]) -> httpx2.Response:
    """A request that would change something."""
    method, template = route.split(" ")
    template = re.sub(r"^/v1/users/\{userId\}", "/v1/users/me", template)
    theirs = any(part in template for part in OTHERS)
    given = dict(places) | ({"projectId": places["theirs"]} if theirs else {})
    options: dict[str, Any] = {"headers": MERGE if method == "PATCH" else {}}
    if route in BODIES:
        options["json"] = BODIES[route]
    if route == "POST /v1/users/me/guests":
        options["json"] = {"guestToken": given["guestToken"], "keep": "target"}
    return await caller.request(
        method, template.format(**placed(template, given, caller.id)), **options
    )


async def everything(database: AsyncDatabase[Any]) -> dict[str, Any]:
    """All that is stored but counters of requests and guards, which tell nobody anything."""
    names = set(await database.list_collection_names()) - {"budgets", "guards"}
    return {
        name: await database[name].find({}, {"guard": 0, "lastUsedAt": 0}).to_list()
        for name in names
    }


def by_id(rows: list[Any]) -> list[Any]:
    return sorted(
        ({k: v for k, v in row.items() if k != "guard"} for row in rows),
        key=lambda row: str(row["_id"]),
    )
