"""Slow operations, as the database's profiler has noted them."""

from dataclasses import asdict
from typing import Any

from pymongo.errors import OperationFailure

from app.console.frame.pages import Desk, Page, Values
from app.console.frame.paging import slice_of
from indexes.stats import slow_operations

page = Page(
    __name__, "Slow operations", "/console/operation/slow", group="Operation", scope="admin"
)


@page.get()
async def slow(desk: Desk) -> Values:
    """By shape, the most costly first; a shape has no value of anybody in it."""
    desk.require_admin()
    refused, found = "", []
    try:
        found = await slow_operations(desk.request.app.state.database)
    except OperationFailure as error:
        refused = str((error.details or {}).get("errmsg") or "the database refuses")
    rows: list[dict[str, Any]] = [asdict(each) for each in found]
    return {**slice_of(desk, rows), "refused": refused}
