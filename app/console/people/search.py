"""People: find one, or see the newest."""

from typing import Any, Final, get_args
from urllib.parse import urlencode

from fastapi import Response
from fastapi.responses import RedirectResponse

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from models.base import parse_id
from models.user import Role

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
_FILTERS: Final = ("role", "accountId", "from", "to")


@page.get()
async def search(desk: Desk) -> Values | Response:
    """The people that match; all of them, the newest first, where nothing is sought."""
    text, by = desk.query("q"), desk.query("by")
    if parse_id(text) is not None:
        return RedirectResponse(path_of("/console/people/{}", text), 303)
    if by == "external" and text:
        app_id, _, external_id = text.partition(":")
        place = path_of("/v1/apps/{}/external-ids/{}", app_id, external_id)
        known = await desk.api.get(place)
        return RedirectResponse(path_of("/console/people/{}", known["userId"]), 303)
    field = (by if by in FIELDS else guessed(text)) if text else None
    sought = {field: text} if field else {}
    filters = {name: desk.query(name) for name in _FILTERS}
    days = {name: f"{filters[name]}T00:00:00Z" for name in ("from", "to") if filters[name]}
    found: dict[str, Any] = await desk.api.get(
        "/v1/users", **sought, **{**filters, **days}, **desk.paging
    )
    if len(found["items"]) == 1 and sought and not desk.query("cursor"):
        only = path_of("/console/people/{}", found["items"][0]["id"])
        return RedirectResponse(f"{only}?{urlencode({'q': text})}", 303)
    shown = {"fields": FIELDS, "field": field, "text": text, "by": by, "filters": filters}
    return {"found": found, "roles": get_args(Role), **shown}


def guessed(text: str) -> str:
    """What somebody is sought by, as the text looks."""
    if "@" in text:
        return "email"
    digits = text.lstrip("+").replace(" ", "").replace("-", "")
    return "phone" if digits.isdigit() and len(digits) > 5 else "prefix"
