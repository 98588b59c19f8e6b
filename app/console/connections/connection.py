"""One connection: its state, what the person has to do, its accounts, a sync now."""

from typing import Final

from fastapi import Response

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values

PATH: Final = "/console/connections/{connectionId}"
page = Page(
    __name__,
    "Connection",
    "/console/connections",
    group="Connections",
    scope="connections:read",
    listed=False,
)


@page.get(PATH)
async def connection(desk: Desk) -> Values:
    """As the API tells it, with a page of its bank accounts."""
    place = path_of("/v1/connections/{}", desk["connectionId"])
    found = await desk.api.get(place)
    accounts = await desk.api.get(f"{place}/accounts", **desk.paging)
    return {"connection": found, "accounts": accounts}


@page.post(PATH + "/sync")
async def sync(desk: Desk) -> Response:
    """Sync it now."""
    place = path_of("/v1/connections/{}/sync", desk["connectionId"])
    state = (await desk.api.send("POST", place)).value["state"]
    note = "It is synced." if state == "done" else "It is being synced: the worker goes on."
    return desk.done(path_of("/console/connections/{}", desk["connectionId"]), note)
