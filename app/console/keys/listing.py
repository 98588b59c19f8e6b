"""API keys: made, rotated and revoked; a key is shown once."""

from typing import Any, Final, get_args

from fastapi import Response

from app.console.frame.calls import Refused, path_of
from app.console.frame.forms import Form, whole_number
from app.console.frame.pages import Desk, Page, Values
from app.identity.principal import authorize
from models.api_key import ApiKey, Scope

page = Page(__name__, "API keys", "/console/keys", group="Apps and keys", scope="admin")
SCOPES: Final[tuple[str, ...]] = get_args(Scope)
_UNKNOWN: Final = (
    "No key has this text: it was revoked, rotated longer ago than it is honoured, or it is not of"
    " this Satchel. Nobody gets in by it."
)
_NUMBERS: Final = ("eventsPerSecond", "eventsPerDay")


@page.get()
async def keys(desk: Desk) -> Values:
    """The newest first; the one that is asked for, where one is."""
    return await _shown(desk)


async def _shown(desk: Desk) -> Values:
    if key_id := desk.query("id"):
        one = await desk.api.get(path_of("/v1/api-keys/{}", key_id))
        found = {"items": [one], "nextCursor": None}
    else:
        found = await desk.api.get("/v1/api-keys", **desk.paging)
    own = str(desk.principal.id) if desk.principal.kind == "key" else ""
    return {"found": found, "scopes": SCOPES, "own": own}


@page.post("/console/keys")
async def make(desk: Desk) -> Response:
    """Make a key, and show it this once."""
    try:
        content = read_key(desk.form)
        made = await desk.api.send("POST", "/v1/api-keys", content, headers=desk.once())
    except Refused as refused:
        told = {"complaint": refused.detail, "errors": refused.problem.get("errors", [])}
        shown = {**await _shown(desk), **told, "form": desk.form}
        return desk.show(shown, status=refused.status)
    return desk.show({"made": made.value}, status=201, template="keys/made.html")


@page.post("/console/keys/find")
async def find(desk: Desk) -> Response:
    """Say which key a leaked text is; it is sent by a form, so that no address or log has it."""
    authorize(desk.principal, "admin")
    key = await ApiKey.find_by_secret(desk.form["key"])
    if key is None:
        told = {"complaint": _UNKNOWN, "form": Form()}
        return desk.show({**await _shown(desk), **told}, status=404)
    place = path_of("/console/keys?id={}", str(key.id))
    return desk.done(place, f"It is the key “{key.name}”. Revoke it, or rotate it.")


@page.post("/console/keys/{keyId}/rotate")
async def rotate(desk: Desk) -> Response:
    """Put another key in its place, and show it this once."""
    hours = whole_number(desk.form["overlapHours"])
    body = {} if hours is None else {"overlapHours": hours}
    place = path_of("/v1/api-keys/{}/rotate", desk["keyId"])
    made = await desk.api.send("POST", place, body, headers=desk.once())
    return desk.show({"made": made.value}, template="keys/made.html")


@page.post("/console/keys/{keyId}/revoke")
async def revoke(desk: Desk) -> Response:
    """Have it honoured no longer."""
    await desk.api.send("DELETE", path_of("/v1/api-keys/{}", desk["keyId"]))
    return desk.done("/console/keys", "The key is revoked.")


def read_key(form: Form) -> dict[str, Any]:
    """A key as a form asks for it; what is left out is not told."""
    told: dict[str, Any] = {"name": form["name"], "scopes": form.all("scope")}
    told |= {name: form[name] for name in ("appId", "accountId") if form[name]}
    if form["expires"]:
        told["expiresAt"] = f"{form['expires']}T00:00:00Z"
    for name in _NUMBERS:
        if text := form[name]:
            number = whole_number(text)
            told[name] = text if number is None else number
    return told
