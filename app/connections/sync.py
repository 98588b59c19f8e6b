"""Syncing a bank connection: page by page, each page's rows and the cursor that covers them in one
transaction.

A pass reads the accounts, then the transactions of each, newest first, and ends with what the
provider no longer has. Every step names the pass, so that a crash repeats a step and never skips or
doubles one. A pass reads the days since the last one and some before them (what is pending may
move), now and then everything.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.connections.accounts import ToldLogin, store_accounts
from app.connections.cursor import Cursor, PagingFailed
from app.connections.providers.api import (
    AccountClosed,
    BankProvider,
    PageLost,
    Unreadable,
    UnreadableAmount,
    is_identified,
)
from app.connections.transactions import SUPERSEDED, ask, remove, settle, since, superseded
from app.database import transaction
from app.relations.guards import check_references
from app.settings import Settings
from models.bank_account import BankAccount
from models.base import Raw, now, rfc3339
from models.connection import Connection, Named, Undecided, set_aside_anew
from models.transaction import Transaction, TransactionContent

LEASE: Final = timedelta(seconds=60)
_REMOVALS: Final = 25
_MOST_PAGES: Final = 10_000
_MOST_ASIDE: Final = 1_000
_ACCOUNT: Final = "account"
_BALANCE: Final = "balance"


class LostSync(Exception):
    """The connection went, its token was replaced, or another sync has taken over: write no
    more."""


class Pass:
    """One sync that holds a connection's lease."""

    def __init__(self, connection: Connection, provider: BankProvider, settings: Settings) -> None:
        self._connection = connection
        self._provider = provider
        self._settings = settings
        self._user_id = connection.user_id
        self._aside = connection.set_aside
        self._named = connection.named
        self._begun = ""

    async def run(self, seconds: float) -> bool:
        """Sync until done or the time is over.

        Returns:
            Whether the pass is done; if not, the cursor says where the next one goes on.

        Raises:
            LoginNeeded, Revoked, TryLater: by the provider.
            PagingFailed: this pass cannot be ended; a fresh one can.
            LostSync: the lease is another's.
        """
        deadline = time.monotonic() + seconds
        cursor = await self._resume() or await self._begin()
        while cursor.todo:
            if time.monotonic() >= deadline:
                return False
            cursor = await self._step(cursor)
        await self._finish(cursor)
        return True

    async def _resume(self) -> Cursor | None:
        """Where the last sync stopped, once the token is known to work; None where a fresh pass is
        to begin."""
        cursor = Cursor.load(self._connection.cursor)
        if cursor is None or self._connection.status == "connected":
            return cursor
        enrollment = (await ToldLogin.ask(self._provider)).enrollment_id

        async def work(session: AsyncClientSession) -> None:
            await self._note(cursor, 0, session)
            await self._note_login(enrollment, session, self._connection.undecided)

        await transaction(work)
        return cursor

    async def _begin(self) -> Cursor:
        """The accounts with their balances; from here the token is known to work."""
        if self._connection.hinted and not await self._connection.take_hint():
            raise LostSync
        told = await ToldLogin.ask(self._provider)
        balances, odd = await self._balances(told)
        last_full = self._connection.full_sync_at
        full = last_full is None or now() - last_full > timedelta(
            days=self._settings.sync_full_days
        )
        fresh, pass_id = (
            {account.id: PydanticObjectId() for account in told.accounts},
            str(ObjectId()),
        )
        untold = [each for each in self._named if each.account_id not in told.ids]
        self._begin_aside(told, odd, pass_id)

        async def work(session: AsyncClientSession) -> Cursor:
            ids, undecided = await store_accounts(self._connection, told, balances, fresh, session)
            cursor = Cursor(
                pass_id, full, [str(ids[account.id]) for account in told.open if account.id in ids]
            )
            await self._note(cursor, len(told.accounts), session, untold)
            await self._note_login(told.enrollment_id, session, undecided)
            return cursor

        cursor = await transaction(work)
        self._begun = pass_id
        return cursor

    async def _balances(self, told: ToldLogin) -> tuple[dict[str, int | None], list[str]]:
        """The balances by the provider's id of the account, and the accounts whose balance cannot
        be read."""
        balances: dict[str, int | None] = {}
        odd: list[str] = []
        for account in told.open:
            try:
                balances[account.id] = await self._provider.balance(account)
            except UnreadableAmount:
                odd.append(account.id)
            if not await self._connection.renew(now() + LEASE):
                raise LostSync
        return balances, odd

    def _begin_aside(self, told: ToldLogin, odd: Sequence[str], pass_id: str) -> None:
        """What is set aside as a pass begins: accounts and balances anew, and the rows of accounts
        that are told."""
        anew = (_ACCOUNT, _BALANCE)
        self._aside = [
            each
            for each in self._aside
            if each.account_id in told.ids and each.provider_id not in anew
        ]
        for account_id in odd:
            self._set_aside(account_id, [Unreadable(_BALANCE, "balance")], (), pass_id)
        for account in told.odd:
            self._set_aside(account.id, [Unreadable(_ACCOUNT, "account")], (), pass_id)

    async def _step(self, cursor: Cursor) -> Cursor:
        """One page of the account in hand, or its end."""
        account = await BankAccount.find_by_id(ObjectId(cursor.todo[0]))
        if account is None:
            raise LostSync
        window = self._settings.sync_window_days
        if cursor.begun is None:
            cursor = replace(
                cursor,
                begun=rfc3339(now()),
                since=None if cursor.full else await since(account, window),
            )
        try:
            page = await self._provider.transactions(
                account.provider_id, account.currency, after=cursor.after, since=cursor.since
            )
        except AccountClosed:
            return await self._close(account, cursor)
        except PageLost:
            return cursor.again()
        last = next((each.provider_id for each in reversed(page) if is_identified(each)), None)
        if last is None:  # it is empty, or nothing of it leads on
            self._set_aside(
                account.provider_id,
                [each for each in page if isinstance(each, Unreadable)],
                (),
                cursor.pass_id,
            )
            return await self._end(account, cursor)
        if last == cursor.after or cursor.pages >= _MOST_PAGES:
            raise PagingFailed
        return await self._store(account, page, replace(cursor, after=last, pages=cursor.pages + 1))

    def _set_aside(
        self, account_id: str, odd: Sequence[Unreadable], met: Collection[str], pass_id: str
    ) -> None:
        """Note what of an account cannot be read, and forget what was so before of what is met
        now."""
        fresh = {each.provider_id: each.reason for each in odd}
        kept = set_aside_anew(self._aside, account_id, fresh, met, pass_id)
        self._aside = kept[:_MOST_ASIDE]

    async def _store(
        self, account: BankAccount, page: Sequence[TransactionContent | Unreadable], cursor: Cursor
    ) -> Cursor:
        account_id = PydanticObjectId(account.id)
        read = [each for each in page if isinstance(each, TransactionContent)]
        odd = [each for each in page if isinstance(each, Unreadable)]
        self._set_aside(
            account.provider_id, odd, {each.provider_id for each in page}, cursor.pass_id
        )
        cursor = replace(
            cursor,
            oldest=min(filter(None, [cursor.oldest, *(each.date for each in read)]), default=None),
        )

        async def work(session: AsyncClientSession) -> None:
            await check_references(
                Transaction, {"bankAccountId": account_id, "userId": self._user_id}, session
            )
            changed = await settle(account, read, odd, cursor.pass_id, session)
            await self._note(cursor, changed, session)

        await transaction(work)
        return cursor

    async def _end(self, account: BankAccount, cursor: Cursor) -> Cursor:
        """Ask for what the pass has not met, and for what the provider named, each by its id;
        remove what is gone."""
        account_id = PydanticObjectId(account.id)
        unseen = await Transaction.find_unseen(account, cursor.since, cursor.pass_id, _REMOVALS)
        named = await self._unmet(account, cursor)
        asked = list(dict.fromkeys([*(row.provider_id for row in unseen), *named]))[:_REMOVALS]
        found, gone, odd = await ask(self._provider, account, asked)
        old = await superseded(account, cursor)
        done = len(asked) < _REMOVALS and len(old) < SUPERSEDED
        following = cursor.next_account() if done else cursor
        self._set_aside(
            account.provider_id, odd, {each.provider_id for each in found}, cursor.pass_id
        )
        if done and cursor.full:
            self._forget_aside(account, cursor)
        answered = [each for each in self._named_of(account) if done or each.provider_id in asked]

        async def work(session: AsyncClientSession) -> None:
            changed = await settle(account, found, odd, cursor.pass_id, session)
            changed += await remove(account_id, gone, old, session)
            if done and cursor.begun is not None:
                synced: Raw = {"$set": {"syncedAt": datetime.fromisoformat(cursor.begun)}}
                await BankAccount.raw().update_one({"_id": account_id}, synced, session=session)
            await self._note(following, changed, session, answered)

        await transaction(work)
        self._named = [each for each in self._named if each not in answered]
        return following

    def _forget_aside(self, account: BankAccount, cursor: Cursor) -> None:
        """Forget what was set aside of an account and was not met in a pass over all of it."""
        name, met = account.provider_id, cursor.pass_id
        self._aside = [
            each for each in self._aside if each.account_id != name or each.seen_in == met
        ]

    def _named_of(self, account: BankAccount) -> list[Named]:
        """What the provider named of an account before this sync."""
        return [each for each in self._named if each.account_id == account.provider_id]

    async def _unmet(self, account: BankAccount, cursor: Cursor) -> list[str]:
        """What it named and has not told since; a pass that began before may have read an older
        state."""
        names = [each.provider_id for each in self._named_of(account)]
        if not names or self._begun != cursor.pass_id:
            return names
        met = await Transaction.met(ObjectId(account.id), names, cursor.pass_id)
        return [name for name in names if name not in met]

    async def _close(self, account: BankAccount, cursor: Cursor) -> Cursor:
        async def work(session: AsyncClientSession) -> None:
            await BankAccount.change({"_id": account.id}, {"status": "closed"}, session=session)
            await self._note(cursor.next_account(), 1, session, self._named_of(account))

        await transaction(work)
        return cursor.next_account()

    async def _note(
        self, cursor: Cursor, rows: int, session: AsyncClientSession, answered: Sequence[Named] = ()
    ) -> None:
        until, text = now() + LEASE, cursor.dump()
        if not await self._connection.note_progress(
            text, until, rows, self._aside, answered, session=session
        ):
            raise LostSync

    async def _is_new(self, enrollment: str, session: AsyncClientSession) -> bool:
        """Whether a login is another than the connection's, and no other connection's."""
        if enrollment == self._connection.enrollment_id:
            return False
        other = {"userId": self._user_id, "enrollmentId": enrollment}
        return await Connection.raw().find_one(other, {"_id": 1}, session=session) is None

    async def _note_login(
        self, enrollment: str | None, session: AsyncClientSession, undecided: Sequence[Undecided]
    ) -> None:
        """The probe worked: a connection that needed a new login is connected again, and due should
        this sync die."""
        fields: Raw = {}
        if undecided != self._connection.undecided:
            fields["undecided"] = [each.model_dump(by_alias=True) for each in undecided]
        if self._connection.status != "connected":
            fields |= {
                "status": "connected",
                "statusReason": None,
                "authenticatedAt": now(),
                "nextAttemptAt": now(),
            }
        if enrollment is not None and await self._is_new(enrollment, session):
            fields["enrollmentId"] = enrollment
        if fields:
            await Connection.change({"_id": self._id}, fields, session=session)

    async def _finish(self, cursor: Cursor) -> None:
        moment = now()
        fields: dict[str, Any] = {
            "cursor": None,
            "lastSyncAt": moment,
            "nextAttemptAt": moment + timedelta(seconds=self._settings.sync_every_seconds),
            "failures": 0,
            "status": "connected",
            "statusReason": None,
        }
        if cursor.full:
            fields["fullSyncAt"] = ObjectId(cursor.pass_id).generation_time
        if await self._connection.end_sync(fields, unhinted=True) is not None:
            return
        if await self._connection.end_sync(fields | {"nextAttemptAt": moment}) is None:
            raise LostSync

    @property
    def _id(self) -> ObjectId:
        return ObjectId(self._connection.id)
