"""One person: who they are, what hangs off them, what they did lately."""

from typing import Any

from app.auth.oversight import phones_of
from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from app.console.people.export import can_export
from app.console.people.hanging import count_hanging
from app.console.people.standing import COSTS
from app.errors import NotFound
from models.base import parse_id

PATH = "/console/people/{userId}"
page = Page(__name__, "Person", "/console/people", group="People", scope="users:read", listed=False)
_LATEST = 10


@page.get(PATH)
async def person(desk: Desk) -> Values:
    """Everything at a glance; each part leads to more of it."""
    user_id = desk["userId"]
    place = path_of("/v1/users/{}", user_id)
    await desk.api.get(place)  # which says whom somebody was merged into
    complete = await desk.api.get(f"{place}/complete")
    complete["etag"] = f'"{complete["user"]["version"]}"'
    found = parse_id(user_id)
    if found is None:
        raise NotFound("there is no such user")
    return {
        **complete,
        "exported": can_export(desk.request),
        "costs": COSTS,
        "phones": (await phones_of([found])).get(user_id, []),
        "hanging": await count_hanging(found),
        "apps": await _items(desk, f"{place}/apps"),
        "activity": await _items(desk, f"{place}/activity", limit=_LATEST),
        "audit": await _items(desk, "/v1/admin/audit", userId=user_id, limit=_LATEST),
    }


async def _items(desk: Desk, path: str, **query: Any) -> list[Any] | None:
    """The items of a list, None where it is not for whoever is signed in."""
    found = await desk.api.try_get(path, **query)
    return None if found is None else list(found["items"])
