"""An application whose Teller is a local server, a cast, and a login with a history."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from models.bank_account import BankAccount
from models.transaction import Transaction
from tests.cast import Cast, enrol
from tests.conftest import MakeApi
from tests.harness import Api
from tests.outside.teller import TellerBanks

TOKEN = "test_token_planted"


@dataclass(frozen=True)
class World:
    """The application, its callers, and the banks outside."""

    api: Api
    cast: Cast
    banks: TellerBanks

    async def connect(self, token: str = TOKEN, **fields: Any) -> str:
        """The owner connects a login; the connection's id."""
        body = {
            "provider": "teller",
            "institution": "Bank",
            "label": "Personal",
            "accessToken": token,
            **fields,
        }
        answer = await self.cast.owner.post("/v1/users/me/connections", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def sync(self, connection_id: str) -> Any:
        return await self.cast.owner.post(f"/v1/connections/{connection_id}/sync")

    async def see(self, connection_id: str) -> Any:
        return (await self.cast.owner.get(f"/v1/connections/{connection_id}")).json()


@pytest.fixture
async def banks() -> AsyncIterator[TellerBanks]:
    made = TellerBanks()
    await made.server.start()
    yield made
    await made.server.stop()


@pytest.fixture
async def world(make_api: MakeApi, banks: TellerBanks) -> World:
    api = await make_api(
        teller_url=banks.server.url,
        teller_webhook_secrets=[SecretStr("old-secret"), SecretStr("new-secret")],
        outgoing_timeout_seconds=2.0,
    )
    login = banks.login(TOKEN)
    account = login.add_account("Checking")
    for number in range(5):
        login.add(account, f"txn_{number}", date=f"2026-11-{10 + number:02}")
    return World(api, await enrol(api), banks)


async def stored(banks: TellerBanks, token: str = TOKEN) -> dict[str, list[tuple[Any, ...]]]:
    """What is stored of a login's open accounts, per account, as the provider would tell it."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for account in await BankAccount.raw().find({"status": "open"}).to_list():
        rows = await Transaction.raw().find({"bankAccountId": account["_id"]}).to_list()
        found[account["providerId"]] = sorted(
            (row["providerId"], row["amount"], row["date"], row["description"], row["status"])
            for row in rows
        )
    return found


def told(banks: TellerBanks, token: str = TOKEN) -> dict[str, list[tuple[Any, ...]]]:
    """What the provider has of a login, the same way."""
    login = banks.logins[token]
    return {
        account_id: sorted(
            (
                each["id"],
                round(float(each["amount"]) * 100),
                each["date"],
                each["description"],
                each["status"],
            )
            for each in ledger
        )
        for account_id, ledger in login.ledgers.items()
        if account_id in login.accounts
    }
