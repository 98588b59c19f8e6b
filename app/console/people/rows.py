"""The rows of one kind that hang off a person, as they are stored, without secrets."""

from typing import Final

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from app.console.frame.paging import first_of, skipped
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
    before = skipped(desk)
    found = await rows_of(relation, user_id, before, _PER_PAGE + 1)
    return {"user": user, "kind": desk["kind"], **first_of(found, _PER_PAGE, before)}
