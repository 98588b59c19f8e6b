"""Events of cards on their way to accounts: what waits, what was given up, and sending it again."""

from typing import Final, get_args

from fastapi import Response

from app.console.frame.calls import path_of
from app.console.frame.pages import Desk, Page, Values
from models.card_event import EventState

page = Page(__name__, "Card events", "/console/card-events", group="Accounts", scope="admin")
STATES: Final[tuple[str, ...]] = get_args(EventState)


@page.get()
async def events(desk: Desk) -> Values:
    """Of one state, of one account where it is named: what was given up, unless another is asked
    for."""
    asked = {"state": desk.query("state") or "dead", "accountId": desk.query("accountId")}
    found = await desk.api.get("/v1/admin/card-events", **asked, **desk.paging)
    plan = await desk.api.get("/v1/admin/card-events/redelivery-plan", accountId=asked["accountId"])
    return {"found": found, "states": STATES, "asked": asked, "plan": plan}


@page.post("/console/card-events/{eventId}/redeliver")
async def redeliver(desk: Desk) -> Response:
    """Have one tried again."""
    place = path_of("/v1/admin/card-events/{}/redeliver", desk["eventId"])
    await desk.api.send("POST", place, headers=desk.once())
    return desk.done("/console/card-events?state=waiting", "The event waits to be sent again.")


@page.post("/console/card-events/redeliver")
async def redeliver_all(desk: Desk) -> Response:
    """Have those that were given up tried again, of one account where it is named: a batch of
    them."""
    body = {"accountId": desk.form["accountId"]} if desk.form["accountId"] else {}
    answer = await desk.api.send(
        "POST", "/v1/admin/card-events/redeliver", body, headers=desk.once()
    )
    more = " There are more: send them again as well." if answer.value["next"] else ""
    note = f"Events that wait to be sent again: {answer.value['redelivered']}.{more}"
    return desk.done("/console/card-events?state=dead", note)
