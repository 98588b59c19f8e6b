"""Deletions: those that are still looked at, and the receipt of any."""

from datetime import UTC, datetime
from typing import Any, Final

from fastapi import Response
from fastapi.responses import RedirectResponse

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from app.console.frame.paging import LOOKED_AT, slice_of
from models.deletion import Deletion

PATH: Final = "/console/operation/deletions"
page = Page(__name__, "Deletions", PATH, group="Operation", scope="admin")


@page.get()
async def deletions(desk: Desk) -> Values | Response:
    """Those of the last 30 days, those first that are swept next; or the one that is sought."""
    desk.require_admin()
    if sought := desk.query("q"):
        return RedirectResponse(path_of(f"{PATH}/{{}}", sought), 303)
    where = {"nextSweepAt": {"$gt": datetime.fromtimestamp(0, UTC)}}
    query = Deletion.raw().find(where).sort("nextSweepAt", 1).limit(LOOKED_AT)
    roots: list[dict[str, Any]] = [row async for row in query if "of" not in row]
    return slice_of(desk, roots)


@page.get(PATH + "/{deletionId}")
async def deletion(desk: Desk) -> Response:
    """Its receipt."""
    found = await desk.api.get(path_of("/v1/admin/deletions/{}", desk["deletionId"]))
    return desk.show({"receipt": found}, template="people/receipt.html")
