"""The transactions of one account in a sync: what is asked of them, stored and removed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

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


async def settle(
    account: BankAccount,
    read: Sequence[TransactionContent],
    odd: Sequence[Unreadable],
    pass_id: str,
    session: AsyncClientSession,
) -> int:
    """Store what was read of an account, and keep what cannot be read as it is; how many are new or
    changed."""
    changed = await Transaction.store(account, read, pass_id, session) if read else 0
    if odd:
        names = [each.provider_id for each in odd]
        await Transaction.keep(ObjectId(account.id), names, pass_id, session)
    return changed


async def remove(
    account_id: ObjectId,
    gone: Sequence[str],
    old: Sequence[ObjectId],
    session: AsyncClientSession,
) -> int:
    """Remove what the provider does not have any more, and what took another's place; how many that
    was."""
    if gone:
        where = {"bankAccountId": account_id, "providerId": {"$in": gone}}
        await Transaction.raw().delete_many(where, session=session)
    if old:
        await Transaction.raw().delete_many({"_id": {"$in": old}}, session=session)
    return len(gone) + len(old)
