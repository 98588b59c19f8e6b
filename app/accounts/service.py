"""The rules of accounts: made active, paused, closed for good, and what their webhook is signed
by."""

from datetime import timedelta
from typing import Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.accounts.access import check_references_within
from app.accounts.schemas import account_view
from app.accounts.webhook_urls import check_webhook_url
from app.database import transaction
from app.errors import BadTransition, Duplicate, NotFound
from app.identity.principal import Principal
from app.settings import Settings
from app.shown.documents import current
from app.users.service import add_user
from app.web.idempotency import Claim, Done, once
from app.web.patches import PatchKind, patched
from app.web.preconditions import require
from models.account import TRANSITIONS, Account, AccountContent, AccountStatus
from models.base import Raw, Session, now
from models.guard import Guard
from models.ledger_note import LedgerNote
from models.precondition import Expected
from models.user import User, UserContent
from models.values import Json

BOTH_SIGN: Final = timedelta(days=1)
"""How long the secret before a rotation goes on signing."""


class AccountChange(AccountContent):
    """What a caller may change of an account."""

    status: AccountStatus


async def create_account(content: AccountContent, claim: Claim | None, settings: Settings) -> Done:
    """An active account, with its guard documents.

    Raises:
        Invalid: the webhook's URL is not acceptable.
    """
    check_webhook_url(content.webhook_url, settings)

    async def work(session: AsyncClientSession, account_id: ObjectId) -> None:
        await Account(id=account_id, **content.model_dump(by_alias=False)).add(session)
        await Guard.open(account_id, session=session)

    return await once(claim, 201, work)


async def create_user_of(
    account_id: PydanticObjectId, content: UserContent, claim: Claim | None, by: Principal
) -> Done:
    """A user of an account, with profile and preferences, in one transaction; `by` is who grants
    roles.

    Raises:
        AccountNotActive: the account is paused or closed.
        Duplicate: another user of the account has this email. Who has it elsewhere is not to be
            learnt.
    """

    async def work(session: AsyncClientSession, user_id: ObjectId) -> None:
        await check_references_within(User, {"_id": user_id, "accountId": account_id}, session)
        if content.email is not None and await User.is_claimed(
            account_id, content.email, session=session
        ):
            raise _email_taken()
        await add_user(user_id, content, session, account_id=account_id, by=by)

    try:
        return await once(claim, 201, work)
    except DuplicateKeyError:
        raise _email_taken() from None


def _email_taken() -> Duplicate:
    """What is answered where two users of one account would have one email."""
    detail = "another user of the account has this email"
    return Duplicate(detail, errors=[{"pointer": "/email", "code": "duplicate", "detail": detail}])


async def find_account(account_id: ObjectId, session: Session = None) -> Account:
    """The account with this id.

    Raises:
        NotFound: there is none.
    """
    account = await Account.find_by_id(account_id, session)
    if account is None:
        raise NotFound("there is no such account")
    return account


async def patch_account(
    account_id: ObjectId,
    kind: PatchKind,
    patch: Json,
    expected: Expected | None,
    settings: Settings,
) -> Account:
    """Change an account by a patch of what `GET` shows; pausing and closing conflict with whoever
    adds to it.

    Raises:
        NotFound: there is no such account.
        VersionMismatch: the precondition does not hold.
        BadTransition: the status does not change that way.
        Invalid: the result is not acceptable.
    """

    async def work(session: AsyncClientSession) -> Account:
        account = await find_account(account_id, session)
        shown = current(account_view(account))
        require(expected, shown)
        content, fields = patched(shown, kind, patch, AccountChange)
        if "webhookUrl" in fields:
            check_webhook_url(content.webhook_url, settings)
        if "status" in fields:
            await move_account(account, content.status, session)
        if not fields:
            return account
        changed = await _changed(account, fields, session)
        await _note_taken(account, changed, session)
        return changed

    return await transaction(work)


async def _note_taken(before: Account, after: Account, session: AsyncClientSession) -> None:
    if before.webhook_url and before.webhook_url != after.webhook_url:
        await LedgerNote.take("endpoint", after, session)
    if before.status != after.status != "active":
        await LedgerNote.take("account", after, session, status=after.status)


async def rotate_webhook_secret(account_id: ObjectId) -> Account:
    """Give the account's webhook another secret.

    Raises:
        NotFound: there is no such account.
    """

    async def work(session: AsyncClientSession) -> Account:
        account = await find_account(account_id, session)
        fields = {
            "webhookRotation": account.webhook_rotation + 1,
            "webhookPreviousUntil": now() + BOTH_SIGN,
        }
        changed = await _changed(account, fields, session)
        await LedgerNote.take("secret", changed, session, rotation=changed.webhook_rotation)
        return changed

    return await transaction(work)


async def _changed(account: Account, fields: Raw, session: AsyncClientSession) -> Account:
    changed = await Account.change(
        {"_id": account.id}, fields, expected=account.version, session=session
    )
    if changed is None:
        raise NotFound("there is no such account")
    return changed


async def move_account(
    account: Account, status: AccountStatus, session: AsyncClientSession
) -> None:
    """Open or close the account's guard, as its new status demands.

    Raises:
        BadTransition: the status does not change that way.
    """
    if status not in TRANSITIONS[account.status]:
        raise BadTransition(f"an account that is {account.status} does not become {status}")
    account_id = ObjectId(str(account.id))
    if status == "active":
        await Guard.open(account_id, session=session)
    elif account.status == "active":
        await Guard.close(account_id, session=session)
