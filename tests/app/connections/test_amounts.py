"""Amounts are read in the minor units of their currency (ISO 4217), whatever number of digits that
is."""

from typing import Any

import pytest

from app.connections.providers.api import minor_units
from app.outside.client import TryLater
from models.bank_account import BankAccount
from models.transaction import Transaction
from tests.app.connections.conftest import TOKEN, World
from tests.outside.server import Told

DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AUD BRL CAD CHF CNY EUR GBP INR MXN NOK SEK USD UYU ZAR",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
CURRENCIES = [(currency, digits) for digits, names in DIGITS.items() for currency in names.split()]


@pytest.mark.parametrize(("currency", "digits"), CURRENCIES)
def test_an_amount_has_as_many_digits_as_its_currency(currency: str, digits: int) -> None:
    amount = f"-1.{'2345'[:digits]}" if digits else "-1"
    assert minor_units(amount, currency) == -int(f"1{'2345'[:digits]}")
    assert minor_units("7", currency) == 7 * 10**digits
    with pytest.raises(TryLater):
        minor_units("0." + "0" * digits + "1", currency)


@pytest.mark.parametrize(
    ("currency", "amount", "units"),
    [
        ("JPY", "1200", 1200),
        ("USD", "12.34", 1234),
        ("KWD", "1.234", 1234),
        ("CLF", "1.2345", 12345),
    ],
)
async def test_a_login_is_synced_in_its_currencies(
    world: World, currency: str, amount: str, units: Any
) -> None:
    login = world.banks.login(TOKEN)
    account_id = login.add_account("Foreign", currency=currency)
    login.add(account_id, "txn_foreign", amount=amount)
    serve = world.banks.server.serve
    whole = {"ledger": "100", "available": "90"}
    world.banks.server.serve = lambda asked: (
        Told(200, whole) if asked.path == f"/accounts/{account_id}/balances" else serve(asked)
    )
    connection_id = await world.connect()
    assert (await world.sync(connection_id)).json()["state"] == "done"
    row: Any = await Transaction.raw().find_one({"providerId": "txn_foreign"})
    assert row["amount"] == units
    account: Any = await BankAccount.raw().find_one({"providerId": account_id})
    assert (account["currency"], account["balance"]) == (currency, minor_units("100", currency))
    assert await Transaction.raw().count_documents({}) == 6
