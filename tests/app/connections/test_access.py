"""Who reaches what of bank connections: every route, by every kind of caller."""

import pytest

from models.bank_account import BankAccount
from tests.app.connections.conftest import World
from tests.factories.bank_operations import RULES
from tests.outside.access import walk


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
