"""What a help desk changes of a person: name and email, and whether they are active."""

from typing import Final

from fastapi import Response

from app.console.frame.calls import MERGE, path_of
from app.console.frame.pages import Desk, Page

page = Page(
    __name__, "Standing", "/console/people", group="People", scope="users:read", listed=False
)
COSTS: Final = {
    "inactive": "They are signed out and can do nothing; what is theirs stays as it is.",
    "active": "They can sign in again, to what is theirs.",
}


@page.post("/console/people/{userId}/change")
async def change(desk: Desk) -> Response:
    """Another name or email, if they are as they were shown."""
    place = path_of("/v1/users/{}", desk["userId"])
    changes = {name: desk.form[name] or None for name in ("name", "email")}
    headers = {"Content-Type": MERGE, "If-Match": desk.form["etag"] or "*"}
    await desk.api.send("PATCH", place, changes, headers=headers)
    return desk.done(path_of("/console/people/{}", desk["userId"]), "It is changed.")


@page.post("/console/people/{userId}/standing")
async def set_standing(desk: Desk) -> Response:
    """Set them inactive or active."""
    place, status = path_of("/v1/users/{}", desk["userId"]), desk.form["status"]
    headers = {"Content-Type": MERGE, **desk.once()}
    await desk.api.send("PATCH", place, {"status": status}, headers=headers)
    return desk.done(path_of("/console/people/{}", desk["userId"]), f"The person is {status}.")
