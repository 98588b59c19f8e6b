"""Who reaches what of bank connections: every route, by every kind of caller."""

import pytest

from models.bank_account import BankAccount
from tests.app.connections.conftest import World
from tests.outside.access import Rule, walk

_BODY = {
    "provider": "teller",
    "institution": "B",
    "label": "l",
    "accessToken": "of_an_untold_login",
}
_DECIDED = {"providerId": "acc_enr_0_0", "bankAccountId": None}
RULES = {
    "GET /v1/users/{userId}/connections": Rule("connections:read"),
    "POST /v1/users/{userId}/connections": Rule("connections:write", _BODY),
    "GET /v1/connections/{connectionId}": Rule("connections:read"),
    "PATCH /v1/connections/{connectionId}": Rule("connections:write", {}),
    "GET /v1/connections/{connectionId}/deletion-plan": Rule("connections:read"),
    "POST /v1/connections/{connectionId}/sync": Rule("connections:write"),
    "GET /v1/connections/{connectionId}/accounts": Rule("connections:read"),
    "POST /v1/connections/{connectionId}/decisions": Rule("connections:write", _DECIDED),
    "GET /v1/bank-accounts/{bankAccountId}/transactions": Rule("connections:read"),
    "DELETE /v1/connections/{connectionId}": Rule("connections:write"),
}
SIGNED = {"POST /v1/webhooks/teller"}
"""Routes whose callers are known by a signature: test_webhooks."""


@pytest.mark.parametrize("route", RULES)
async def test_every_kind_of_caller(world: World, route: str) -> None:
    world.banks.login("of_an_untold_login").add_account("Savings", enrollment_id=None)
    connection_id = await world.connect()
    await world.sync(connection_id)
    account = await BankAccount.raw().find_one({})
    assert account is not None
    owner = world.cast.owner.id
    places = {"userId": owner, "connectionId": connection_id, "bankAccountId": str(account["_id"])}
    named = {name: value for name, value in places.items() if f"{{{name}}}" in route}
    await walk(world.api, world.cast, route, RULES[route], named)
