"""Banks that answer oddly, and syncs that die."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from app.database import transaction
from models.base import now
from tests.outside.server import Asked, Told
from tests.outside.teller import Login


class Died(BaseException):
    """The process ended."""


def shuffled(asked: Asked, answer: Told) -> Told:
    """A page in no order."""
    if isinstance(answer.json, list):
        rows = list(answer.json)
        random.Random(len(rows)).shuffle(rows)
        return Told(answer.status, rows)
    return answer


def doubled(asked: Asked, answer: Told) -> Told:
    """A page that tells each thing twice."""
    return (
        Told(answer.status, [*answer.json, *answer.json])
        if isinstance(answer.json, list)
        else answer
    )


def day(ago: int) -> str:
    return (now().date() - timedelta(days=ago)).isoformat()


class Bank:
    """Makes what happens at a bank of what Hypothesis draws."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.accounts = list(login.accounts)
        self.count = 0

    def happen(self, change: str, account: int, place: int) -> None:
        account_id = self.accounts[account]
        ledger = self.login.ledgers[account_id]
        if change.startswith("add"):
            self._add(account_id, place, "pending" if change == "add_pending" else "posted")
        elif ledger and change != "nothing":
            row = ledger[place % len(ledger)]
            if change == "post":
                row.update(status="posted", date=day(0))
                ledger.sort(key=lambda each: (each["date"], each["id"]), reverse=True)
            elif change == "amend":
                row.update(amount=f"-{place}.50", description=f"amended {self.count}")
            elif change in ("rename", "remove"):
                ledger.remove(row)
                if change == "rename":
                    self._add(account_id, 0, "posted")

    def _add(self, account_id: str, ago: int, status: str) -> None:
        self.count += 1
        self.login.add(account_id, f"txn_{self.count:03}", date=day(ago), status=status)


def dying(at: int | None, after: bool) -> Callable[..., Awaitable[Any]]:
    """`transaction` as a process has it that ends at one of them, before or after its commit."""
    left = at

    async def run(work: Any) -> Any:
        nonlocal left
        if left is not None:
            left -= 1
        if left is not None and left < 0 and not after:
            raise Died
        result = await transaction(work)
        if left is not None and left < 0:
            raise Died
        return result

    return run
