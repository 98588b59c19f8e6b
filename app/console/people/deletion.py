"""Deleting a person: what would go, confirmed by typing, and the receipt while it is swept."""

from typing import Any

from fastapi import Response

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values

page = Page(__name__, "Delete", "/console/people", group="People", scope="users:read", listed=False)
_NOT_TYPED = "What was typed is not what was asked for: nothing was deleted."


@page.get("/console/people/{userId}/delete")
async def plan(desk: Desk) -> Values:
    """What deleting them would do."""
    return await _planned(desk)


async def _planned(desk: Desk) -> Values:
    place = path_of("/v1/users/{}", desk["userId"])
    answer = await desk.api.send("GET", place)
    planned = await desk.api.get(f"{place}/deletion-plan")
    user = answer.value
    return {"user": user, "plan": planned, "etag": answer.etag, "typed": to_type(user)}


@page.post("/console/people/{userId}/delete")
async def delete(desk: Desk) -> Response:
    """Delete them, if they are still as they were shown and what was asked for is typed."""
    place = path_of("/v1/users/{}", desk["userId"])
    user = await desk.api.get(place)
    if desk.form["confirm"] != to_type(user):
        return desk.show({**await _planned(desk), "complaint": _NOT_TYPED}, status=422)
    await desk.api.send("DELETE", place, headers={"If-Match": desk.form["etag"] or "*"})
    return desk.done(path_of("/console/people/{}/deletion", user["id"]), "The person is deleted.")


@page.get("/console/people/{userId}/deletion")
async def receipt(desk: Desk) -> Response:
    """How far the deletion is."""
    found = await desk.api.get(path_of("/v1/users/{}/deletion", desk["userId"]))
    return desk.show({"receipt": found}, template="people/receipt.html")


def to_type(user: dict[str, Any]) -> str:
    """What is typed to confirm: who it is, as they are known."""
    return str(user["email"] or user["id"])
