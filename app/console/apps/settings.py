"""One app: its settings, its schemas with a dry run, its queries and how far they are."""

from typing import Any, Final

from fastapi import Response

from app.console.frame.calls import Refused, path_of
from app.console.frame.forms import Form, whole_number
from app.console.frame.pages import Desk, Page, Values
from app.errors import Invalid, Problem
from app.web.body import parse_json

PATH: Final = "/console/apps/{appId}"
page = Page(__name__, "App", "/console/apps", group="Apps and keys", scope="admin", listed=False)
NUMBERS: Final = {
    "history": "Former versions of each value that are kept (0 to 50)",
    "tombstoneDays": "Days for which deletions are told to devices",
    "analyticsRetentionDays": "Days after which raw events are archived",
}
LISTS: Final = {
    "analyticsProperties": "Properties by whose values events are broken down, one a line",
    "identifyTraits": "Traits that identify writes into the profile, one a line",
}
JSON: Final = {
    "schemas": "Schemas, by key, or by the beginning of keys and *, as note:*",
    "queries": "Queries, by name",
}
QUOTA: Final = {"keys": "Values", "bytes": "Bytes"}


@page.get(PATH)
async def app(desk: Desk) -> Values:
    """Its settings as they are."""
    return await _shown(desk)


async def _shown(desk: Desk) -> Values:
    place = path_of("/v1/apps/{}", desk["appId"])
    answer = await desk.api.send("GET", place)
    states = await desk.api.get(f"{place}/queries")
    fields = {"numbers": NUMBERS, "lists": LISTS, "documents": JSON, "quota_names": QUOTA}
    return {**fields, "app": answer.value, "etag": answer.etag, "states": states["queries"]}


@page.post(PATH)
async def put(desk: Desk) -> Response:
    """Replace the settings by the form's, if they still are as they were shown."""
    place = path_of("/v1/apps/{}", desk["appId"])
    try:
        settings = read_settings(desk.form)
        await desk.api.send("PUT", place, settings, headers={"If-Match": desk.form["etag"] or "*"})
    except (Refused, Problem) as refused:
        return await _again(desk, refused)
    back = path_of("/console/apps/{}", desk["appId"])
    return desk.done(back, "The settings are stored. Other processes follow within seconds.")


@page.post(PATH + "/check")
async def check(desk: Desk) -> Response:
    """Try the form's schemas on the values that are stored; nothing is changed."""
    place = path_of("/v1/apps/{}/schemas/check", desk["appId"])
    try:
        body = {"schemas": _document(desk.form, "schemas")}
        query = {"limit": 200, "cursor": desk.form["cursor"]}
        checked = (await desk.api.send("POST", place, body, query=query)).value
    except (Refused, Problem) as refused:
        return await _again(desk, refused)
    seen = whole_number(desk.form["seen"]) or 0
    told = {"checked": checked, "seen": seen + checked["checked"], "form": desk.form}
    return desk.show({**await _shown(desk), **told})


async def _again(desk: Desk, refused: Refused | Problem) -> Response:
    """The page with what was typed, and why it was refused."""
    detail = refused.detail
    if isinstance(refused, Refused):
        errors = refused.problem.get("errors", [])
        if refused.status == 412:
            detail = "Somebody has changed the settings meanwhile: below are theirs."
            shown = {**await _shown(desk), "complaint": detail}
            return desk.show(shown, status=412)
    else:
        errors = refused.errors
    told = {"complaint": detail, "errors": errors, "form": desk.form}
    return desk.show({**await _shown(desk), **told}, status=refused.status)


def read_settings(form: Form) -> dict[str, Any]:
    """An app's settings as a form has them.

    Raises:
        Invalid: a number is none, or what is to be JSON is none.
    """
    settings: dict[str, Any] = {"name": form["name"] or None}
    settings["requireVersion"] = form["requireVersion"] == "on"
    settings |= {name: _number(form, name) for name in NUMBERS if form[name]}
    settings |= {name: form[name].split() for name in LISTS}
    settings |= {name: _document(form, name) for name in JSON}
    quota = {name: _number(form, f"quota.{name}") for name in QUOTA if form[f"quota.{name}"]}
    return settings | ({"quota": quota} if quota else {})


def _number(form: Form, name: str) -> int:
    if (number := whole_number(form[name])) is None:
        raise Invalid.field(f"/{name}", "wrong_type", f"{name} is a whole number")
    return number


def _document(form: Form, name: str) -> Any:
    try:
        return parse_json(form[name].encode() or b"{}")
    except Problem as problem:
        raise Invalid.field(f"/{name}", "malformed", problem.detail or "no JSON") from None
