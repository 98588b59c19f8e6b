"""One project: its members, its repository's health, and its deliveries, which can be taken
again."""

from typing import Final

from fastapi import Response

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values

PATH: Final = "/console/projects/{projectId}"
page = Page(
    __name__,
    "Project",
    "/console/projects",
    group="Repositories",
    scope="projects:read",
    listed=False,
)
STATES: Final = ("received", "processed", "failed")


@page.get(PATH)
async def project(desk: Desk) -> Values:
    """With a page of its deliveries."""
    place = path_of("/v1/projects/{}", desk["projectId"])
    found, status = await desk.api.get(place), desk.query("status")
    repository = await desk.api.try_get(f"{place}/repository")
    shown = {"project": found, "repository": repository, "states": STATES, "status": status}
    if repository is None:
        return shown
    health = await desk.api.get(f"{place}/repository/health")
    asked = {"status": status, "payload": "true", "limit": 20, "cursor": desk.query("cursor")}
    events = await desk.api.get(f"{place}/repository/events", **asked)
    return {**shown, "health": health, "events": events}


@page.post(PATH + "/events/{eventId}/redeliver")
async def redeliver(desk: Desk) -> Response:
    """Have a delivery read again."""
    names = (desk["projectId"], desk["eventId"])
    place = path_of("/v1/projects/{}/repository/events/{}/redeliver", *names)
    await desk.api.send("POST", place)
    return desk.done(_here(desk), "The delivery is read again.")


@page.post(PATH + "/rotate")
async def rotate(desk: Desk) -> Response:
    """Put another secret between the host and us."""
    place = path_of("/v1/projects/{}/repository/rotate-secret", desk["projectId"])
    await desk.api.send("POST", place, headers=desk.once())
    return desk.done(_here(desk), "The webhook has another secret.")


def _here(desk: Desk) -> str:
    return path_of("/console/projects/{}", desk["projectId"])
