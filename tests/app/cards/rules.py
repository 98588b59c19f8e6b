"""Who reaches what of the card programme: a line for each route (design, guarantee 5)."""

from dataclasses import dataclass
from typing import Any

from tests.cast import Programme


@dataclass(frozen=True)
class AccountRule:
    """What a route asks for.

    Attributes:
        scope: that a key needs.
        body: that the route accepts; `{holder}` in it is the holder's id.
        holder: what the user who holds the card is answered.
        colleague: what another user of the account is answered.
        bound: whether a key that is bound to the account gets there.
    """

    scope: str
    body: Any = None
    holder: int = 403
    colleague: int = 403
    bound: bool = True


READ, WRITE = "accounts:read", "accounts:write"
_CARD = {"userId": "{holder}", "lastFour": "1881"}
_A = "/v1/accounts/{accountId}"

ACCOUNT_RULES: dict[str, AccountRule] = {
    "POST /v1/accounts": AccountRule(WRITE, {"name": "New"}, bound=False),
    "GET /v1/accounts": AccountRule(READ),
    f"GET {_A}": AccountRule(READ, holder=200, colleague=200),
    f"PATCH {_A}": AccountRule(WRITE, {}),
    f"DELETE {_A}": AccountRule(WRITE),
    f"GET {_A}/deletion-plan": AccountRule(READ),
    f"POST {_A}/webhook-secret": AccountRule(WRITE),
    f"POST {_A}/users": AccountRule(WRITE, {}),
    f"GET {_A}/users": AccountRule(READ),
    f"POST {_A}/cards": AccountRule(WRITE, _CARD),
    f"GET {_A}/cards": AccountRule(READ, holder=200, colleague=200),
    f"GET {_A}/cards/{{cardId}}": AccountRule(READ, holder=200, colleague=404),
    f"PATCH {_A}/cards/{{cardId}}": AccountRule(WRITE, {}),
    f"POST {_A}/spending-profiles": AccountRule(WRITE, {"name": "New"}),
    f"GET {_A}/spending-profiles": AccountRule(READ, holder=200, colleague=200),
    f"GET {_A}/spending-profiles/{{profileId}}": AccountRule(READ, holder=200, colleague=404),
    f"PATCH {_A}/spending-profiles/{{profileId}}": AccountRule(WRITE, {}),
    f"DELETE {_A}/spending-profiles/{{profileId}}": AccountRule(WRITE),
    f"GET {_A}/spending-profiles/{{profileId}}/deletion-plan": AccountRule(READ),
    "GET /v1/admin/card-events": AccountRule("admin", bound=False),
    "GET /v1/admin/card-events/redelivery-plan": AccountRule("admin", bound=False),
    "POST /v1/admin/card-events/redeliver": AccountRule("admin", {}, bound=False),
}
"""A new route of accounts and cards is one more line here."""


def request_of(
    route: str, programme: Programme, account: str | None = None
) -> tuple[str, str, dict[str, Any]]:
    """Method, path and options of an acceptable request that is about this programme."""
    method, template = route.split(" ")
    path = template.format(
        accountId=account or programme.account, cardId=programme.card, profileId=programme.profile
    )
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
    options: dict[str, Any] = {"headers": headers}
    body = ACCOUNT_RULES[route].body
    if body is not None:
        options["json"] = {
            name: programme.holder.id if value == "{holder}" else value
            for name, value in body.items()
        }
    return method, path, options
