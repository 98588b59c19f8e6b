"""What a person did, as apps have noted it."""

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values

page = Page(
    __name__, "Activity", "/console/people", group="People", scope="data:read", listed=False
)
_FILTERS = ("appId", "eventType", "sessionId")


@page.get("/console/people/{userId}/activity")
async def activity(desk: Desk) -> Values:
    """The newest first."""
    user_id = desk["userId"]
    filters = {name: desk.query(name) for name in _FILTERS}
    found = await desk.api.get(path_of("/v1/users/{}/activity", user_id), **filters, **desk.paging)
    user = await desk.api.try_get(path_of("/v1/users/{}", user_id))
    return {"user": user or {"id": user_id}, "found": found, "filters": filters}
