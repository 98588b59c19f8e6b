"""The rows of one kind that hang off a person, as they are stored, without secrets."""

from typing import Final

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from app.console.people.hanging import relation_named, rows_of
from app.errors import NotFound
from app.identity.principal import authorize
from models.base import parse_id

page = Page(__name__, "Rows", "/console/people", group="People", scope="admin", listed=False)
_PER_PAGE: Final = 20


@page.get("/console/people/{userId}/rows/{kind}")
async def rows(desk: Desk) -> Values:
    """A page of them."""
    authorize(desk.principal, "admin")
    user_id, relation = parse_id(desk["userId"]), relation_named(desk["kind"])
    if user_id is None:
        raise NotFound("there is no such user")
    user = await desk.api.get(path_of("/v1/users/{}", desk["userId"]))
    before = int(text) if (text := desk.query("cursor")).isdecimal() and len(text) < 6 else 0
    found = await rows_of(relation, user_id, before, _PER_PAGE + 1)
    following = str(before + _PER_PAGE) if len(found) > _PER_PAGE else None
    return {"user": user, "kind": desk["kind"], "rows": found[:_PER_PAGE], "following": following}
