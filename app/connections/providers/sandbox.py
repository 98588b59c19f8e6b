"""Invented banks for demonstrations: what a token sees follows from the token and the day alone.

The token `sandbox_login` needs a new login, `sandbox_revoked` is revoked, every other one works.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from functools import partial
from hashlib import sha256
from itertools import dropwhile, islice
from typing import Final

from app.connections.providers.api import LoginNeeded, PageLost, Revoked, ToldAccount
from models.base import now
from models.transaction import TransactionContent, TransactionStatus

_DAYS: Final = 90
_PENDING_DAYS: Final = 2
_PAGE: Final = 100
_SHOPS: Final = ("Grocer", "Bakery", "Rail", "Coffee", "Bookshop", "Pharmacy", "Cinema", "Hardware")


class Sandbox:
    """One invented login."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._seed = sha256(token.encode()).hexdigest()

    async def accounts(self) -> list[ToldAccount]:
        """A checking account, for half of the tokens a savings account too."""
        if self._token == "sandbox_login":  # noqa: S105
            raise LoginNeeded("mfa_required")
        if self._token == "sandbox_revoked":  # noqa: S105
            raise Revoked
        kinds = ("checking", "savings")[: 1 + int(self._seed[0], 16) % 2]
        return [
            ToldAccount(
                id=f"acc_{self._seed[:12]}_{kind}",
                name=f"Sandbox {kind}",
                type=kind,
                currency="USD",
                last_four=f"{int(self._seed[12:16], 16) % 10_000:04}",
                status="open",
                enrollment_id=f"enr_{self._seed[:12]}",
                institution="sandbox",
            )
            for kind in kinds
        ]

    async def balance(self, account: ToldAccount) -> int | None:
        """What was earned less what was spent."""
        return 500_000 + sum(content.amount for content in _ledger(account.id))

    async def transactions(
        self, account_id: str, currency: str, *, after: str | None, since: str | None
    ) -> list[TransactionContent]:
        """A page of 100, newest first."""
        ledger = [
            content for content in _ledger(account_id) if since is None or content.date >= since
        ]
        if after is None:
            return ledger[:_PAGE]
        rest = dropwhile(lambda content: content.provider_id != after, ledger)
        if next(rest, None) is None:
            raise PageLost
        return list(islice(rest, _PAGE))

    async def transaction(
        self, account_id: str, currency: str, transaction_id: str
    ) -> TransactionContent | None:
        """One of the ledger."""
        return next(
            (content for content in _ledger(account_id) if content.provider_id == transaction_id),
            None,
        )

    async def disconnect(self) -> None:
        """Nothing is kept outside."""


@asynccontextmanager
async def sandbox(token: str) -> AsyncIterator[Sandbox]:
    """An invented login, as the others are opened."""
    yield Sandbox(token)


def _ledger(account_id: str) -> list[TransactionContent]:
    today = now().date()
    return [
        content
        for age in range(_DAYS)
        for content in _day(account_id, today - timedelta(days=age), age)
    ]


def _day(account_id: str, day: date, age: int) -> list[TransactionContent]:
    status: TransactionStatus = "pending" if age < _PENDING_DAYS else "posted"
    digest = sha256(f"{account_id} {day}".encode()).digest()
    told = partial(TransactionContent, date=day.isoformat(), status=status)
    spent = [
        told(
            provider_id=f"txn_{digest.hex()[:16]}_{number}",
            amount=-(100 + int.from_bytes(digest[number * 2 : number * 2 + 2], "big") % 9900),
            description=_SHOPS[digest[number] % len(_SHOPS)],
        )
        for number in range(digest[31] % 4)
    ]
    if day.day == 1:
        wages = f"txn_{digest.hex()[:16]}_wages"
        spent.append(told(provider_id=wages, amount=420_000, description="Wages"))
    return spent
