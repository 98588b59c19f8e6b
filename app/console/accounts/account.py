"""One account: its state, its cards, people and spending profiles, and the secret of its
webhook."""

from typing import Any, Final

from fastapi import Response

from app.console.frame.calls import MERGE, path_of
from app.console.frame.pages import Desk, Page, Values

PATH: Final = "/console/accounts/{accountId}"
page = Page(
    __name__,
    "Account",
    "/console/accounts",
    group="Accounts",
    scope="accounts:read",
    listed=False,
)
STATES: Final = {
    "active": "It takes users, cards and profiles again, and its cards may be opened.",
    "paused": "It takes no new users, cards or profiles, and none of its cards is opened, until it"
    " is active again. Cards that are open stay open.",
    "closed": "It takes no new users, cards or profiles, and none of its cards is opened. A closed"
    " account does not become active again.",
}
CARD_STATES: Final = {
    "pending": ("open", "closed"),
    "open": ("paused", "closed"),
    "paused": ("open", "closed"),
}
CARD_COSTS: Final = {
    "open": "It can be used from now on. The account is told by its webhook.",
    "paused": "It cannot be used until it is open again. The account is told by its webhook.",
    "closed": "It is over: a closed card does not open again. The account is told by its webhook.",
}


@page.get(PATH)
async def account(desk: Desk) -> Values:
    """The account, and a page of its cards."""
    place = path_of("/v1/accounts/{}", desk["accountId"])
    answer = await desk.api.send("GET", place)
    status = desk.query("status")
    return {
        "account": answer.value,
        "etag": answer.etag,
        "states": STATES,
        "card_states": CARD_STATES,
        "card_costs": CARD_COSTS,
        "status": status,
        "cards": await desk.api.get(f"{place}/cards", status=status, expand="user", **desk.paging),
        "people": await desk.api.get(f"{place}/users", limit=20),
        "profiles": await desk.api.get(f"{place}/spending-profiles", limit=20),
        "unsent": await _unsent(desk),
    }


async def _unsent(desk: Desk) -> list[Any] | None:
    """The latest events that the webhook was not sent, with why; None for who may not know."""
    rows: list[Any] = []
    for state in ("dead", "waiting"):
        asked = {"state": state, "accountId": desk["accountId"], "limit": 5}
        found = await desk.api.try_get("/v1/admin/card-events", **asked)
        if found is None:
            return None
        rows += found["items"]
    return rows


@page.post(PATH + "/status")
async def set_status(desk: Desk) -> Response:
    """Pause it, close it, or have it active, if it is as it was shown."""
    place = path_of("/v1/accounts/{}", desk["accountId"])
    headers = {"Content-Type": MERGE, "If-Match": desk.form["etag"] or "*"}
    await desk.api.send("PATCH", place, {"status": desk.form["status"]}, headers=headers)
    return desk.done(_here(desk), f"The account is {desk.form['status']}.")


@page.post(PATH + "/secret")
async def new_secret(desk: Desk) -> Response:
    """Make another secret that its webhooks are signed by, and show it this once."""
    place = path_of("/v1/accounts/{}/webhook-secret", desk["accountId"])
    made = await desk.api.send("POST", place, headers=desk.once())
    shown = {"secret": made.value["webhookSecret"], "back": _here(desk)}
    return desk.show(shown, template="accounts/secret.html")


@page.post(PATH + "/cards/{cardId}")
async def set_card(desk: Desk) -> Response:
    """Open, pause or close a card, if it is as it was shown."""
    place = path_of("/v1/accounts/{}/cards/{}", desk["accountId"], desk["cardId"])
    headers = {"Content-Type": MERGE, "If-Match": f'"{desk.form["version"]}"'}
    await desk.api.send("PATCH", place, {"status": desk.form["status"]}, headers=headers)
    return desk.done(_here(desk), f"The card is {desk.form['status']}.")


def _here(desk: Desk) -> str:
    return path_of("/console/accounts/{}", desk["accountId"])
