"""What cannot be read of a login is set aside and shown, and keeps nothing else out."""

from typing import Any

import pytest

from models.bank_account import BankAccount
from models.connection import Connection
from models.transaction import Transaction
from tests.app.connections.conftest import TOKEN, World
from tests.outside.server import Told

ODD: dict[str, tuple[dict[str, Any], str]] = {
    "more digits": ({"amount": "1.005"}, "amount"),
    "no number": ({"amount": "NaN"}, "amount"),
    "too large": ({"amount": "1e30"}, "amount"),
    "null amount": ({"amount": None}, "malformed"),
    "number": ({"amount": 1.5}, "malformed"),
    "no date": ({"date": "2026-11-1x"}, "malformed"),
    "other status": ({"status": "declined"}, "malformed"),
}


async def again(world: World, connection_id: str) -> dict[str, Any]:
    """What a full pass comes to, seen at the connection."""
    await Connection.raw().update_many({}, {"$unset": {"fullSyncAt": ""}})
    answer = await world.sync(connection_id)
    assert (answer.status_code, answer.json()["state"]) == (200, "done"), answer.text
    seen: dict[str, Any] = await world.see(connection_id)
    assert seen["status"] == "connected"
    return {name: seen[name] for name in ("unreadable", "unreadableReasons") if name in seen}


@pytest.mark.parametrize("page", [200, 1, 2], ids=lambda size: f"pages of {size}")
@pytest.mark.parametrize("odd", ODD)
async def test_an_odd_row_keeps_no_other_out(world: World, odd: str, page: int) -> None:
    world.banks.page = page
    login, (fields, reason) = world.banks.login(TOKEN), ODD[odd]
    (first,) = login.accounts
    login.add(login.add_account("Savings"), "txn_other")
    row = login.add(first, "txn_odd", **{"date": "2026-11-12", **fields})
    connection_id = await world.connect()
    for _ in range(2):
        assert await again(world, connection_id) == {"unreadable": 1, "unreadableReasons": {reason: 1}}
        assert await Transaction.raw().count_documents({}) == 6
    assert (await world.sync(connection_id)).status_code == 200
    assert (await world.see(connection_id))["unreadable"] == 1, "beyond the window it is still so"
    row.update(amount="-1.00", date="2026-11-12", status="posted")
    assert await again(world, connection_id) == {}
    assert await Transaction.raw().count_documents({}) == 7


async def test_a_row_that_turns_odd_stays_as_it_was_read_and_goes_with_the_banks(world: World) -> None:
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    connection_id = await world.connect()
    assert await again(world, connection_id) == {}
    login.find(account_id, "txn_2").update(amount="1.005")
    assert (await again(world, connection_id))["unreadable"] == 1
    row: Any = await Transaction.raw().find_one({"providerId": "txn_2"})
    assert row["amount"] == -1234
    login.remove(account_id, "txn_2")
    assert await again(world, connection_id) == {}
    assert await Transaction.raw().count_documents({}) == 4


async def test_a_row_that_only_its_id_finds_may_be_odd(world: World) -> None:
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    connection_id = await world.connect()
    await again(world, connection_id)
    login.find(account_id, "txn_2").update(amount="1.005")
    serve = world.banks.server.serve

    def hiding(asked: Any) -> Told:
        told = serve(asked)
        if asked.path.endswith("/transactions"):
            return Told(told.status, [each for each in told.json if each["id"] != "txn_2"])
        return told

    world.banks.server.serve = hiding
    assert await again(world, connection_id) == {"unreadable": 1, "unreadableReasons": {"amount": 1}}
    assert await Transaction.raw().count_documents({}) == 5


async def test_an_odd_balance_keeps_its_account_and_the_balance_before(world: World) -> None:
    connection_id = await world.connect()
    await again(world, connection_id)
    serve = world.banks.server.serve
    world.banks.server.serve = lambda asked: (
        Told(200, {"ledger": "1.005"}) if asked.path.endswith("/balances") else serve(asked)
    )
    assert await again(world, connection_id) == {"unreadable": 1, "unreadableReasons": {"balance": 1}}
    account: Any = await BankAccount.raw().find_one({})
    assert account["balance"] == 10050
    world.banks.server.serve = serve
    assert await again(world, connection_id) == {}
