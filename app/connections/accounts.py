"""What a login tells of its accounts, and storing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.connections.providers.api import BankProvider, ToldAccount, UnreadableAccount
from app.connections.relinks import Relinks, join
from app.relations.guards import check_references
from models.bank_account import BankAccount
from models.connection import Connection, Undecided

_STORED: Final = {
    "name": "name",
    "type": "type",
    "currency": "currency",
    "last_four": "lastFour",
    "status": "status",
    "institution": "institution",
    "balance": "balance",
}


@dataclass(frozen=True, slots=True)
class ToldLogin:
    """What a login tells: the accounts that can be read, each once, and those that cannot."""

    accounts: Sequence[ToldAccount]
    odd: Sequence[UnreadableAccount]

    @classmethod
    async def ask(cls, provider: BankProvider) -> "ToldLogin":
        """`BankProvider.accounts`."""
        told = await provider.accounts()
        read = {each.id: each for each in told if isinstance(each, ToldAccount)}
        return cls(
            list(read.values()), [each for each in told if isinstance(each, UnreadableAccount)]
        )

    @property
    def open(self) -> Sequence[ToldAccount]:
        """The accounts that may be read from."""
        return [account for account in self.accounts if account.status == "open"]

    @property
    def ids(self) -> set[str]:
        """Of all accounts, those that cannot be read among them."""
        return {each.id for each in self.accounts} | {each.id for each in self.odd}

    @property
    def is_whole(self) -> bool:
        """Whether an account that is not told is not there: one that cannot be read and has no id
        may be any."""
        return all(account.is_identified for account in self.odd)

    @property
    def enrollment_id(self) -> str | None:
        """The provider's id of the login, where it tells one."""
        told = [each.enrollment_id for each in self.accounts] + [
            each.enrollment_id for each in self.odd
        ]
        return next((each for each in told if each), None)


async def store_accounts(
    connection: Connection,
    told: ToldLogin,
    balances: dict[str, int | None],
    fresh: dict[str, PydanticObjectId],
    session: AsyncClientSession,
) -> tuple[dict[str, PydanticObjectId], list[Undecided]]:
    """Insert, join and change accounts; those that are not told any more are closed, with all that
    is known of them.

    Args:
        connection: whose.
        told: what the login tells.
        balances: by the provider's id; those that could not be read are left out.
        fresh: an id for each account that may be new.
        session: of the transaction that all of it is in.

    Returns:
        Our ids by the provider's, and the accounts of which the person has to say which they are.
    """
    known = {
        each.provider_id: each
        for each in await BankAccount.all_of(ObjectId(connection.id), session=session)
    }
    left = [each for each in known.values() if each.provider_id not in told.ids]
    relinks = Relinks.of([account for account in told.accounts if account.id not in known], left)
    undecided = {each.provider_id for each in relinks.undecided}
    ids: dict[str, PydanticObjectId] = {}
    for account in told.accounts:
        fields = _fields_of(account, balances)
        if (stored := known.get(account.id)) is not None:
            await _update(stored, fields, session)
        elif (stored := relinks.joined.get(account.id)) is not None:
            await join(stored, account.id, _named(fields), session)
        elif account.id in undecided:
            continue
        else:
            await insert(connection, account.id, fresh[account.id], fields, session)
        ids[account.id] = fresh[account.id] if stored is None else PydanticObjectId(stored.id)
    for gone in left:
        if gone.status == "open" and told.is_whole and gone.id not in ids.values():
            await BankAccount.change({"_id": gone.id}, {"status": "closed"}, session=session)
    return ids, relinks.undecided


def _named(fields: dict[str, Any]) -> dict[str, Any]:
    return {_STORED[name]: value for name, value in fields.items()}


async def _update(stored: BankAccount, fields: dict[str, Any], session: AsyncClientSession) -> None:
    """Change what is told otherwise; one that is there again is read from its beginning."""
    if any(getattr(stored, name) != value for name, value in fields.items()):
        again = (
            {"syncedAt": None} if (stored.status, fields["status"]) == ("closed", "open") else {}
        )
        await BankAccount.change({"_id": stored.id}, _named(fields) | again, session=session)


async def insert(
    connection: Connection,
    provider_id: str,
    account_id: PydanticObjectId,
    fields: dict[str, Any],
    session: AsyncClientSession,
) -> None:
    """Insert an account under the provider's id and ours, with its other fields by attribute."""
    row = BankAccount(
        id=account_id,
        user_id=connection.user_id,
        connection_id=PydanticObjectId(connection.id),
        provider_id=provider_id,
        **fields,
    )
    await check_references(BankAccount, row.stored(), session)
    await row.add(session)


def _fields_of(account: ToldAccount, balances: dict[str, int | None]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: getattr(account, name) for name in _STORED if name != "balance"}
    return fields | ({"balance": balances[account.id]} if account.id in balances else {})
