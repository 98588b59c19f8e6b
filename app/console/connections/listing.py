"""Connections to banks: their state, and what needs doing; of everybody, or of one person."""

from typing import Any, Final, get_args

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from app.console.frame.paging import LOOKED_AT, sifted
from app.identity.principal import authorize
from models.base import parse_id
from models.connection import Connection, Status

page = Page(
    __name__, "Connections", "/console/connections", group="Connections", scope="connections:read"
)
STATES: Final[tuple[str, ...]] = get_args(Status)
_SHOWN: Final = dict.fromkeys(
    (
        *("userId", "provider", "institution", "label", "status", "statusReason"),
        *("lastSyncAt", "nextAttemptAt", "failures", "createdAt"),
    ),
    1,
)


@page.get()
async def connections(desk: Desk) -> Values:
    """The newest first."""
    user, status = desk.query("user"), desk.query("status")
    shown = {"user": user, "status": status, "states": STATES}
    if user:
        place = path_of("/v1/users/{}/connections", user)
        found = await desk.api.get(place, **desk.paging)
        return {**shown, "rows": found["items"], "following": found["nextCursor"]}
    return {**shown, **await _of_everybody(desk, status)}


async def _of_everybody(desk: Desk, status: str) -> Values:
    """A page of all connections, for admins; a thousand are looked at for it at most."""
    authorize(desk.principal, "admin")
    before = parse_id(desk.query("cursor"))
    where: dict[str, Any] = {"_id": {"$lt": before}} if before else {}
    query = Connection.raw().find(where, _SHOWN).sort("_id", -1).limit(LOOKED_AT)
    rows = [{**row, "id": row["_id"]} async for row in query]
    return sifted(rows, lambda row: not status or row["status"] == status)
