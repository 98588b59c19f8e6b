"""What a sync wants to know of one account: of the provider, and of what is stored."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from bson import ObjectId

from app.connections.cursor import Cursor
from app.connections.providers.api import BankProvider, Unreadable
from models.bank_account import BankAccount
from models.transaction import Transaction, TransactionContent

SUPERSEDED: Final = 500


async def since(account: BankAccount, window_days: int) -> str | None:
    """From when an account is to be read: some days before it was last read, or its oldest pending
    transaction."""
    if account.synced_at is None:
        return None
    window = (account.synced_at.date() - timedelta(days=window_days)).isoformat()
    pending = await Transaction.oldest_pending(account)
    return min(window, pending) if pending else window


async def ask(
    provider: BankProvider, account: BankAccount, asked: Sequence[str]
) -> tuple[list[TransactionContent], list[str], list[Unreadable]]:
    """What the provider has of these transactions, has not, and has unreadably."""
    found, gone, odd = list[TransactionContent](), list[str](), list[Unreadable]()
    for provider_id in asked:
        told = await provider.transaction(account.provider_id, account.currency, provider_id)
        if told is None:
            gone.append(provider_id)
        elif isinstance(told, Unreadable):
            odd.append(told)
        else:
            found.append(told)
            if told.provider_id != provider_id:
                gone.append(provider_id)
    return found, gone, odd


async def superseded(account: BankAccount, cursor: Cursor) -> list[ObjectId]:
    """What an account was told to have before a new login, and has not; nothing until that tells
    something."""
    if not account.link or cursor.oldest is None:
        return []
    return await Transaction.find_superseded(account, cursor.oldest, SUPERSEDED)
