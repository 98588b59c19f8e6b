"""Projects, whose repositories are connected."""

from app.console.frame.pages import Desk, Page, Values

page = Page(
    __name__, "Repositories", "/console/projects", group="Repositories", scope="projects:read"
)


@page.get()
async def projects(desk: Desk) -> Values:
    """The newest first."""
    return {"found": await desk.api.get("/v1/projects", **desk.paging)}
