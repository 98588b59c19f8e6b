"""Everything that has an ETag."""

from typing import Any

import httpx2

from tests.cast import Cast
from tests.harness import Caller

VALUE = "/v1/users/me/apps/notes/data/k"

WRITABLE = [
    ("/v1/users/me", "PATCH", {"name": "x"}),
    ("/v1/users/me/profile", "PUT", {"bio": "x"}),
    ("/v1/users/me/profile", "PATCH", {"bio": "x"}),
    ("/v1/users/me/preferences", "PUT", {"theme": "dark"}),
    ("/v1/users/me/preferences", "PATCH", {"theme": "dark"}),
    (VALUE, "PUT", {"by": "x"}),
    (VALUE, "PATCH", {"by": "x"}),
    (VALUE, "DELETE", None),
    ("/v1/users/me", "DELETE", None),
]


async def send(
    caller: Caller, method: str, path: str, body: Any, headers: dict[str, str]
) -> httpx2.Response:
    if method == "PATCH":
        return await caller.merge(path, body, headers=headers)
    return await caller.request(
        method, path, headers=headers, **({} if body is None else {"json": body})
    )


async def fill(cast: Cast) -> None:
    for caller in (cast.owner, cast.stranger):
        assert (await caller.put(VALUE, json={"of": caller.id})).status_code == 201
