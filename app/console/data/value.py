"""One value: seen, edited under its version, its history, and how a former version comes back."""

from fastapi import Response

from app.console.data.places import value_page, value_path
from app.console.frame.calls import Refused, path_of
from app.console.frame.forms import whole_number
from app.console.frame.pages import Desk, Page, Values
from app.errors import Problem
from app.web.body import parse_json

PATH = "/console/data/{userId}/{appId}/{dataKey}"
page = Page(__name__, "Value", "/console/data", group="App data", scope="data:read", listed=False)
_PATCH = {"Content-Type": "application/json-patch+json"}


@page.get(PATH)
async def value(desk: Desk) -> Values:
    """The value as it is now, and a former version of it where one is asked for."""
    return await _shown(desk)


async def _shown(desk: Desk) -> Values:
    found = await desk.api.get(
        path_of("/v1/users/{}/apps/{}/data", desk["userId"], desk["appId"]), keys=desk["dataKey"]
    )
    history = await desk.api.try_get(f"{value_path(desk)}/history", **desk.paging)
    now = next(iter(found["items"]), None)
    if now is None and history is None:
        await desk.api.get(value_path(desk))  # which says that there never was one
    user = await desk.api.try_get(path_of("/v1/users/{}", desk["userId"]))
    former = None
    if version := desk.query("version"):
        former = await desk.api.get(path_of(value_path(desk) + "/history/{}", version))
    return {
        "now": now,
        "history": history or {"items": [], "nextCursor": None},
        "former": former,
        "user": user or {"id": desk["userId"]},
        "key": desk["dataKey"],
        "app": desk["appId"],
        "action": value_page(desk["userId"], desk["appId"], desk["dataKey"]),
    }


@page.post(PATH + "/edit")
async def edit(desk: Desk) -> Response:
    """Store what was typed, if the value still has the version that was shown; its expiry
    stays."""
    text = desk.form["value"]
    try:
        typed = parse_json(text.encode())
        patch = [{"op": "replace", "path": "", "value": typed}]
        headers = {**_PATCH, **_if_version(desk), **desk.once()}
        await desk.api.send("PATCH", value_path(desk), patch, headers=headers)
    except Refused as refused:
        told = {"complaint": refused.detail, "errors": refused.problem.get("errors", [])}
        current = refused.problem.get("current") if refused.status == 412 else None
        shown = {**await _shown(desk), **told, "typed": text, "theirs": current}
        return desk.show(shown, status=refused.status)
    except Problem as problem:
        told = {"complaint": problem.detail, "errors": problem.errors, "typed": text}
        return desk.show({**await _shown(desk), **told}, status=problem.status)
    return desk.done(_here(desk), "The value is stored.")


@page.post(PATH + "/restore")
async def restore(desk: Desk) -> Response:
    """Make a former version the newest, if the value still is as it was shown."""
    text = desk.form["restored"]
    body = {"version": whole_number(text) or 0}
    headers = {**_if_version(desk), **desk.once()}
    await desk.api.send("POST", f"{value_path(desk)}/restore", body, headers=headers)
    return desk.done(_here(desk), f"Version {text} is restored.")


@page.post(PATH + "/delete")
async def delete(desk: Desk) -> Response:
    """Delete the value, if it still is as it was shown."""
    await desk.api.send("DELETE", value_path(desk), headers=_if_version(desk))
    return desk.done(_here(desk), "The value is deleted; its history is below.")


def _if_version(desk: Desk) -> dict[str, str]:
    """The precondition of what was shown; none for what is no value now."""
    version = desk.form["version"]
    return {"If-Match": f'"{version}"'} if whole_number(version) is not None else {}


def _here(desk: Desk) -> str:
    return value_page(desk["userId"], desk["appId"], desk["dataKey"])
