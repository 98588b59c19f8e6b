"""Accounts: the newest first."""

from app.console.frame.pages import Desk, Page, Values

page = Page(__name__, "Accounts", "/console/accounts", group="Accounts", scope="accounts:read")


@page.get()
async def accounts(desk: Desk) -> Values:
    """A page of them."""
    return {"found": await desk.api.get("/v1/accounts", **desk.paging)}
