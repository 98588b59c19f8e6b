"""Indexes: how they differ from the table, and how they are used."""

from dataclasses import asdict
from typing import Final

from app.console.frame.pages import Desk, Page, Values
from app.console.frame.paging import slice_of
from indexes.stats import usage

page = Page(__name__, "Indexes", "/console/operation/indexes", group="Operation", scope="admin")
_ORDERS: Final = {"": "as in the table", "uses": "least used", "bytes": "largest"}


@page.get()
async def indexes(desk: Desk) -> Values:
    """Each with its use and size on the member that answers."""
    desk.require_admin()
    found = [asdict(each) for each in await usage(desk.request.app.state.database)]
    if desk.query("by") == "uses":
        found.sort(key=lambda each: each["uses"])
    elif desk.query("by") == "bytes":
        found.sort(key=lambda each: -each["bytes"])
    drift = (await desk.api.get("/v1/admin/indexes"))["drift"]
    return {**slice_of(desk, found), "drift": drift, "orders": _ORDERS, "by": desk.query("by")}
