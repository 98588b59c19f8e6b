"""App data by app, person and the beginning of the key; what was deleted; usage against quota."""

from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Response

from app.console.data.places import deleted_values, person_sought, value_page, values_of_app
from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from app.errors import Invalid, NotFound
from app.web.body import dump_json

page = Page(__name__, "App data", "/console/data", group="App data", scope="data:read")
_PREVIEW: Final = 90
_NOT_TYPED: Final = "What was typed is not the app's id: nothing was deleted."


@page.get()
async def browse(desk: Desk) -> Values:
    """What the form asks for: nothing yet, an app's values, a person's apps, or one app's data of
    one person."""
    asked = {name: desk.query(name) for name in ("user", "app", "prefix")}
    shown: Values = {"asked": asked, "link": value_page}
    try:
        if asked["user"]:
            return {**shown, **await _of_person(desk, asked)}
        if asked["app"]:
            return {**shown, **await values_of_app(desk, asked["app"], asked["prefix"])}
    except NotFound as problem:
        return {**shown, "complaint": problem.detail}
    return shown


async def _of_person(desk: Desk, asked: dict[str, str]) -> Values:
    person = await person_sought(desk, asked["user"])
    place = path_of("/v1/users/{}/apps", person["id"])
    apps = (await desk.api.get(place))["items"]
    if not asked["app"]:
        return {"person": person, "apps": apps}
    used = next((each for each in apps if each["appId"] == asked["app"]), {"keys": 0, "bytes": 0})
    settings = await desk.api.try_get(path_of("/v1/apps/{}", asked["app"]))
    found = {"person": person, "used": used, "quota": (settings or {}).get("quota") or {}}
    if desk.query("gone"):
        gone = await deleted_values(desk, person["id"], asked["app"])
        return {**found, "gone": gone["rows"], "following": gone["following"]}
    values = await desk.api.get(
        path_of("/v1/users/{}/apps/{}/data", person["id"], asked["app"]),
        prefix=asked["prefix"],
        **desk.paging,
    )
    weighed = [each | _weighed(each.pop("value")) for each in values["items"]]
    return {**found, "values": weighed, "following": values["nextCursor"]}


def _weighed(value: Any) -> dict[str, Any]:
    """How large a value is, and how it begins."""
    text = dump_json(value)
    return {"bytes": len(text), "preview": text[:_PREVIEW].decode("utf-8", "ignore")}


@page.post("/console/data/{userId}/{appId}/clear")
async def clear(desk: Desk) -> Response:
    """Delete all that an app keeps of a person, if the app's id is typed."""
    if desk.form["confirm"] != desk["appId"]:
        raise Invalid(_NOT_TYPED)
    place = path_of("/v1/users/{}/apps/{}", desk["userId"], desk["appId"])
    answer = await desk.api.send("DELETE", place, headers=desk.once())
    gone = sum((answer.value.get("deleted") or {}).values())
    note = f"{gone} documents are deleted." if answer.status == 200 else "It is being deleted."
    return desk.done("/console/data?" + urlencode({"user": desk["userId"]}), note)
