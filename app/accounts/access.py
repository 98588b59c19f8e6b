"""Which account a request is about, whether its caller reaches it, and whether it takes anything
new."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import AccountNotActive, NotFound
from app.identity.principal import Principal, authorize
from app.relations.guards import check_references
from app.shown.expanding import Expansion, expansion
from models.account import Account
from models.base import Stored, parse_id
from models.card import Card
from models.user import User

READ: Final = "accounts:read"
WRITE: Final = "accounts:write"


@dataclass(frozen=True, slots=True)
class Reach:
    """An account that the caller reaches.

    Attributes:
        account: the account.
        caller: who reaches it.
        holder: a user, who sees of the account's cards their own only; None for a key and an admin,
            who see all.
    """

    account: Account
    caller: Principal
    holder: ObjectId | None = None

    @property
    def account_id(self) -> PydanticObjectId:
        """The account's id."""
        return PydanticObjectId(self.account.id)

    def cards(self, **narrower: Any) -> dict[str, Any]:
        """The filter on cards that the caller reaches, by stored names."""
        held = {} if self.holder is None else {"userId": self.holder}
        return {"accountId": self.account_id, **held, **narrower}

    def expansion(self, expand: str | None, document: type[Stored]) -> Expansion:
        """What `expand=` names, of what the caller reaches.

        Raises:
            Forbidden: the caller may not read what is to be embedded.
        """
        return expansion(
            expand,
            document,
            self.caller,
            user_id=self.holder,
            account_id=self.account_id,
            within={Card: self.cards()},
        )


async def reach(caller: Principal, scope: str, account: str, *, by_users: bool = False) -> Reach:
    """The account that a path names.

    Args:
        caller: who calls.
        scope: what a key needs.
        account: an id, as the path has it.
        by_users: whether the account's users may do this by their own token.

    Raises:
        Forbidden: the key lacks the scope, or a user asks for what only keys may do.
        NotFound: there is no such account, or it is not the caller's.
    """
    account_id = parse_id(account)
    user_id = caller.id if by_users and caller.kind == "user" and not caller.is_admin else None
    authorize(caller, scope, user_id=user_id, account_id=account_id or ObjectId())
    if user_id is not None and not await _belongs(user_id, account_id):
        raise NotFound("there is no such account")
    found = await Account.find_by_id(account_id)
    if found is None:
        raise NotFound("there is no such account")
    return Reach(found, caller, user_id)


async def _belongs(user_id: ObjectId, account_id: ObjectId | None) -> bool:
    row = await User.raw().find_one({"_id": user_id}, {"accountId": 1})
    return row is not None and account_id is not None and row.get("accountId") == account_id


async def check_references_within(
    child: type[Stored],
    row: Mapping[str, Any],
    session: AsyncClientSession,
    *,
    only: Collection[str] | None = None,
) -> None:
    """`refer` for a document that is new to an account, or opened in it: the account must be
    active.

    Raises:
        BadReference: it refers to a document that is not there or belongs to another account.
        NotFound: there is no such account (any more).
        AccountNotActive: the account is paused or closed.
    """
    try:
        await check_references(child, row, session, only=only)
    except NotFound:
        account = await Account.raw().find_one(
            {"_id": row["accountId"]}, {"status": 1}, session=session
        )
        if account is not None and account["status"] != "active":
            detail = (
                f"the account is {account['status']} and takes no new users, cards or profiles, nor"
                " opens a card"
            )
            raise AccountNotActive(detail) from None
        raise
