"""People: find one, or see the newest."""

from typing import Any, Final, get_args
from urllib.parse import urlencode

from fastapi import Response
from fastapi.responses import RedirectResponse

from app.auth.oversight import phones_of
from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from models.base import parse_id
from models.user import Role, Status

page = Page(__name__, "People", "/console/people", group="People", scope="users:read")
FIELDS: Final = {
    "email": "Email",
    "phone": "Phone",
    "prefix": "Beginning of the name",
    "valuUserId": "Valu id",
    "merkosUserId": "Merkos id",
    "external": "Id in an app, as app:id",
}
"""What the API finds people by, and how that is called."""
_FILTERS: Final = ("role", "status", "accountId", "from", "to")


@page.get()
async def search(desk: Desk) -> Values | Response:
    """The people that match; all of them, the newest first, where nothing is sought."""
    text, by = desk.query("q"), desk.query("by")
    if (user_id := await named(desk, text, by)) is not None:
        return RedirectResponse(path_of("/console/people/{}", user_id), 303)
    field = sought(text, by) if text else None
    query = {field: text} if field else {}
    filters = {name: desk.query(name) for name in _FILTERS}
    days = {name: f"{filters[name]}T00:00:00Z" for name in ("from", "to") if filters[name]}
    found: dict[str, Any] = await desk.api.get(
        "/v1/users", **query, **{**filters, **days}, **desk.paging
    )
    if len(found["items"]) == 1 and query and not desk.query("cursor"):
        only = path_of("/console/people/{}", found["items"][0]["id"])
        return RedirectResponse(f"{only}?{urlencode({'q': text})}", 303)
    shown = {"fields": FIELDS, "field": field, "text": text, "by": by, "filters": filters}
    phones = await phones_of(parse_id(user["id"]) for user in found["items"])
    choices = {"role": get_args(Role), "status": get_args(Status)}
    return {"found": found, "phones": phones, "choices": choices, **shown}


async def named(desk: Desk, text: str, by: str) -> str | None:
    """The id of whom a text names outright: by their id, or by the one that they have in an app."""
    if parse_id(text) is not None:
        return text
    if by != "external" or not text:
        return None
    app_id, _, external_id = text.partition(":")
    place = path_of("/v1/apps/{}/external-ids/{}", app_id, external_id)
    return str((await desk.api.get(place))["userId"])


def sought(text: str, by: str) -> str:
    """What somebody is sought by: as it is told, or as the text looks."""
    return by if by in FIELDS else guessed(text)


def guessed(text: str) -> str:
    """What somebody is sought by, as the text looks."""
    if "@" in text:
        return "email"
    digits = text.lstrip("+").replace(" ", "").replace("-", "")
    return "phone" if digits.isdigit() and len(digits) > 5 else "prefix"
