"""What cannot be read of a login is set aside and shown, and keeps nothing else out."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from models.bank_account import BankAccount
from models.connection import Connection
from models.transaction import Transaction
from tests.app.connections.conftest import TOKEN, World, stored, told
from tests.outside.server import Asked, Told

ODD: dict[str, tuple[dict[str, Any], str]] = {
    "more digits": ({"amount": "1.005"}, "amount"),
    "no number": ({"amount": "NaN"}, "amount"),
    "too large": ({"amount": "1e30"}, "amount"),
    "null amount": ({"amount": None}, "malformed"),
    "number": ({"amount": 1.5}, "malformed"),
    "no date": ({"date": "2026-11-1x"}, "malformed"),
    "no day of the calendar": ({"date": "2026-11-31"}, "malformed"),
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
        assert await again(world, connection_id) == {
            "unreadable": 1,
            "unreadableReasons": {reason: 1},
        }
        assert await Transaction.raw().count_documents({}) == 6
    assert (await world.sync(connection_id)).status_code == 200
    assert (await world.see(connection_id))["unreadable"] == 1, "beyond the window it is still so"
    row.update(amount="-1.00", date="2026-11-12", status="posted")
    assert await again(world, connection_id) == {}
    assert await Transaction.raw().count_documents({}) == 7


async def test_a_row_that_turns_odd_stays_as_it_was_read_and_goes_with_the_banks(
    world: World,
) -> None:
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
    assert await again(world, connection_id) == {
        "unreadable": 1,
        "unreadableReasons": {"amount": 1},
    }
    assert await Transaction.raw().count_documents({}) == 5


@pytest.mark.parametrize("balance", [{"ledger": "1.005"}, {"ledger": 1.5}, [], "x"], ids=str)
async def test_an_odd_balance_keeps_its_account_and_the_balance_before(
    world: World, balance: Any
) -> None:
    connection_id = await world.connect()
    await again(world, connection_id)
    serve = world.banks.server.serve
    world.banks.server.serve = lambda asked: (
        Told(200, balance) if asked.path.endswith("/balances") else serve(asked)
    )
    assert await again(world, connection_id) == {
        "unreadable": 1,
        "unreadableReasons": {"balance": 1},
    }
    account: Any = await BankAccount.raw().find_one({})
    assert account["balance"] == 10050
    world.banks.server.serve = serve
    assert await again(world, connection_id) == {}


def changing_rows(world: World, change: Callable[[list[Any]], list[Any]]) -> None:
    """Every page of transactions is told as `change` has it."""
    serve = world.banks.server.serve

    def answer(asked: Asked) -> Told:
        answered = serve(asked)
        is_page = asked.path.endswith("/transactions") and isinstance(answered.json, list)
        return Told(answered.status, change(answered.json)) if is_page else answered

    world.banks.server.serve = answer


@pytest.mark.parametrize("page", [200, 1, 2], ids=lambda size: f"pages of {size}")
@pytest.mark.parametrize(
    "odd",
    [
        None,
        7,
        [],
        {"amount": "1.00"},
        {"id": None},
        {"id": ""},
        {"id": {"$gt": ""}},
        {"id": "x" * 300},
    ],
    ids=str,
)
async def test_a_row_without_an_id_keeps_no_other_out_wherever_it_stands(
    world: World, odd: Any, page: int
) -> None:
    world.banks.page = page
    serve = world.banks.server.serve
    connection_id = await world.connect()
    changing_rows(world, lambda rows: [odd, *rows, odd])
    for _ in range(2):
        assert await again(world, connection_id) == {
            "unreadable": 1,
            "unreadableReasons": {"no_id": 1},
        }
        assert await stored(world.banks) == told(world.banks)
    world.banks.server.serve = serve
    assert await again(world, connection_id) == {}


async def test_a_page_without_any_id_ends_its_account_and_removes_nothing(world: World) -> None:
    login = world.banks.login(TOKEN)
    connection_id = await world.connect()
    await again(world, connection_id)
    login.add(login.add_account("Savings"), "txn_other")
    changing_rows(
        world,
        lambda rows: [{**each, "id": None} if each["id"] != "txn_other" else each for each in rows],
    )
    assert await again(world, connection_id) == {"unreadable": 5, "unreadableReasons": {"no_id": 5}}
    assert await stored(world.banks) == told(world.banks)


ODD_ACCOUNTS: dict[str, dict[str, Any]] = {
    "no currency": {"currency": None},
    "another currency": {"currency": "dollars"},
    "another status": {"status": "frozen"},
    "no name": {"name": None},
    "no id": {"id": None},
    "an object for an id": {"id": {"$gt": ""}},
}


@pytest.mark.parametrize("odd", ODD_ACCOUNTS)
async def test_an_odd_account_keeps_no_other_out_and_none_is_closed_for_it(
    world: World, odd: str
) -> None:
    login, fields = world.banks.login(TOKEN), ODD_ACCOUNTS[odd]
    other = login.add_account("Savings")
    login.add(other, "txn_other")
    plain = dict(login.accounts[other])
    login.accounts[other].update(fields)
    connection_id = await world.connect()
    assert await again(world, connection_id) == {
        "unreadable": 1,
        "unreadableReasons": {"account": 1},
    }
    assert await Transaction.raw().count_documents({}) == 5
    login.accounts[other] = plain
    assert await again(world, connection_id) == {}
    assert await stored(world.banks) == told(world.banks)
    login.accounts[other] = plain | fields
    login.add(next(iter(login.accounts)), "txn_more")
    assert await again(world, connection_id) == {
        "unreadable": 1,
        "unreadableReasons": {"account": 1},
    }
    assert await stored(world.banks) == told(world.banks), (
        "its history stays, it is open, and the rest goes on"
    )


@pytest.mark.parametrize("odd", [None, 7, [], "x"], ids=str)
async def test_what_is_no_account_at_all_is_set_aside(world: World, odd: Any) -> None:
    connection_id = await world.connect()
    serve = world.banks.server.serve
    world.banks.server.serve = lambda asked: (
        Told(200, [odd, *serve(asked).json])
        if asked.path == "/accounts" and asked.method == "GET"
        else serve(asked)
    )
    assert await again(world, connection_id) == {
        "unreadable": 1,
        "unreadableReasons": {"account": 1},
    }
    assert await stored(world.banks) == told(world.banks)


async def test_a_login_none_of_whose_accounts_can_be_read_is_connected_and_closes_nothing(
    world: World,
) -> None:
    connection_id = await world.connect()
    await again(world, connection_id)
    for account in world.banks.login(TOKEN).accounts.values():
        account["currency"] = None
    assert await again(world, connection_id) == {
        "unreadable": 1,
        "unreadableReasons": {"account": 1},
    }
    assert await BankAccount.raw().distinct("status") == ["open"]


async def test_half_a_character_is_read_as_a_question_mark(world: World) -> None:
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    row = {**login.find(account_id, "txn_4"), "description": "CAF"}
    raw = orjson.dumps([row]).replace(b"CAF", b"CAF\\ud83d")
    connection_id = await world.connect()
    serve = world.banks.server.serve
    world.banks.server.serve = lambda asked: (
        Told(200, raw=raw)
        if asked.path.endswith("/transactions") and "from_id" not in asked.query
        else serve(asked)
    )
    assert await again(world, connection_id) == {}
    stored_row: Any = await Transaction.raw().find_one({"providerId": "txn_4"})
    assert stored_row["description"] == "CAF?"
    assert await Transaction.raw().count_documents({}) == 5


async def test_a_row_that_is_told_under_another_id_than_it_was_asked_for_is_stored_by_that(
    world: World,
) -> None:
    login = world.banks.login(TOKEN)
    (account_id,) = login.accounts
    connection_id = await world.connect()
    await again(world, connection_id)
    login.remove(account_id, "txn_2")
    login.add(account_id, "txn_posted", date="2026-11-12")
    serve = world.banks.server.serve

    def answer(asked: Asked) -> Told:
        return (
            Told(200, login.find(account_id, "txn_posted"))
            if asked.path.endswith("/txn_2")
            else serve(asked)
        )

    world.banks.server.serve = answer
    assert await again(world, connection_id) == {}
    assert await stored(world.banks) == told(world.banks)


async def test_an_account_is_told_twice_and_stored_once(world: World) -> None:
    connection_id = await world.connect()
    serve = world.banks.server.serve
    world.banks.server.serve = lambda asked: (
        Told(200, serve(asked).json * 2) if asked.path == "/accounts" else serve(asked)
    )
    assert await again(world, connection_id) == {}
    assert await stored(world.banks) == told(world.banks)
