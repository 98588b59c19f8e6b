"""Several values that were deleted, brought back at once: the last value of each."""

from typing import Final
from urllib.parse import urlencode

from fastapi import Response

from app.console.frame.calls import Api, Refused, path_of
from app.console.frame.pages import Desk, Page

page = Page(__name__, "Restore", "/console/data", group="App data", scope="data:read", listed=False)
_MOST: Final = 50


@page.post("/console/data/{userId}/{appId}/restore")
async def restore(desk: Desk) -> Response:
    """Each of those that are ticked, or all that the page shows, by a write of its own; what is
    there again stays as it is."""
    place = path_of("/v1/users/{}/apps/{}/data", desk["userId"], desk["appId"])
    ticked = desk.form.all("shown" if desk.form["all"] else "key")[:_MOST]
    done = [await _restored(desk.api, place, key) for key in ticked]
    back = urlencode({"user": desk["userId"], "app": desk["appId"], "gone": 1})
    lost = f", of {done.count(False)} no value is kept" if False in done else ""
    return desk.done(f"/console/data?{back}", f"{done.count(True)} values are restored{lost}.")


async def _restored(api: Api, place: str, key: str) -> bool:
    """Restore the last value under a key; whether there is one now."""
    versions = (await api.get(path_of(place + "/{}/history", key), limit=50))["items"]
    kept = next((each["version"] for each in versions if not each["deleted"]), None)
    if kept is None or not versions[0]["deleted"]:
        return kept is not None
    try:
        await api.send("POST", path_of(place + "/{}/restore", key), {"version": kept})
    except Refused as refused:
        if refused.status in (404, 422):
            return False
        raise
    return True
