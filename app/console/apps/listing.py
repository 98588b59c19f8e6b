"""The apps that are registered, and registering one."""

from typing import Final

from fastapi import Response

from app.console.frame.calls import path_of
from app.console.frame.pages import PER_PAGE, Desk, Page, Values
from models.app import App

page = Page(__name__, "Apps", "/console/apps", group="Apps and keys", scope="admin")
_SHOWN: Final = {"name": 1, "history": 1, "quota": 1, "requireVersion": 1, "updatedAt": 1}


@page.get()
async def apps(desk: Desk) -> Values:
    """In the order of their ids."""
    desk.require_admin()
    where = {"_id": {"$gt": desk.query("cursor")}}
    rows = await App.raw().find(where, _SHOWN).sort("_id", 1).limit(PER_PAGE + 1).to_list()
    following = rows[PER_PAGE - 1]["_id"] if len(rows) > PER_PAGE else None
    return {"rows": rows[:PER_PAGE], "following": following}


@page.post("/console/apps")
async def register(desk: Desk) -> Response:
    """Register an app with the default settings, unless it is registered."""
    app_id, name = desk.form["id"], desk.form["name"] or None
    place = path_of("/v1/apps/{}", app_id)
    await desk.api.send("PUT", place, {"name": name}, headers={"If-None-Match": "*"})
    back = path_of("/console/apps/{}", app_id)
    return desk.done(back, f"The app {app_id} is registered.")
