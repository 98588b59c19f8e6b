"""Routes of accounts, and of the users of an account."""

from functools import partial
from typing import Annotated

from fastapi import Request, Response

from app.accounts.access import READ, WRITE, reach
from app.accounts.examples import (
    ACCOUNT,
    ACCOUNT_PLAN_SHOWN,
    ACCOUNT_RECEIPT_SHOWN,
    ACCOUNT_SHOWN,
    SECRET_SHOWN,
)
from app.accounts.schemas import CreatedAccount, WebhookSecret, account_view
from app.accounts.service import (
    AccountChange,
    create_account,
    create_user_of,
    find_account,
    patch_account,
    rotate_webhook_secret,
)
from app.accounts.webhook_keys import webhook_keys
from app.errors import AlreadyDone
from app.identity.access import MEMBERS, keys
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.relations.deletable import Operation, Target, deletable
from app.shown.documents import AccountView, UserView, user_view
from app.shown.expanding import expand_query
from app.users.examples import USER, USER_SHOWN
from app.users.service import check_grants, find_user
from app.web.documents import Change, Shown, by_patch, changeable, readable
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim, Repeated, write_once
from app.web.openapi.answers import problems
from app.web.openapi.examples import answers, page_of
from app.web.openapi.patch_bodies import patches
from app.web.paging import Cursor, Limit, Page, newest
from app.web.routing import Router
from models.account import Account, AccountContent
from models.aside import read_all
from models.user import User, UserContent

router = Router(prefix="/v1/accounts", tags=["Accounts"])


@router.post(
    "",
    access=keys("accounts:write"),
    status_code=201,
    operation_id="createAccount",
    summary="Create an account",
    responses=problems(409),
)
async def create(
    content: Annotated[AccountContent, ACCOUNT],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> CreatedAccount:
    """The answer holds the webhook's secret, this once: a repeat with the same Idempotency-Key is
    409 with the id."""
    authorize(caller, WRITE)
    done = await create_account(content, claim, request.app.state.settings)
    if done.repeated:
        detail = "the account was made, and its webhook's secret shown, before"
        raise AlreadyDone(detail, extra={"id": str(done.resource_id)})
    account = await find_account(done.resource_id)
    response.headers["Location"] = f"/v1/accounts/{account.id}"
    response.headers["ETag"] = etag(account.version, account.id)
    secret = webhook_keys(request.scope).secret(done.resource_id, account.webhook_rotation)
    return CreatedAccount(**account_view(account).model_dump(), webhook_secret=secret)


@router.get(
    "",
    access=keys("accounts:read"),
    operation_id="listAccounts",
    summary="List accounts",
    responses=problems() | page_of(ACCOUNT_SHOWN),
)
async def list_accounts(
    caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[AccountView]:
    """The newest first. A key that is bound to an account sees that one."""
    authorize(caller, READ, account_id=caller.account_id)
    where = {} if caller.account_id is None else {"_id": {"$eq": caller.account_id}}
    rows, following = await newest(Account, where, limit, cursor)
    return Page(
        items=[account_view(each) for each in read_all(Account, rows)], next_cursor=following
    )


@readable(
    router,
    "/{accountId}",
    AccountView,
    access=MEMBERS,
    operation_id="getAccount",
    summary="Get an account",
    shown=ACCOUNT_SHOWN,
)
async def _get(accountId: str, caller: Caller) -> Shown:
    """By keys, and by the account's users, who see no `webhookUrl`."""
    reached = await reach(caller, READ, accountId, by_users=True)
    view = account_view(reached.account)
    if reached.holder is None:
        return Shown(view, view.version)
    view.webhook_url = None
    return Shown(view, view.version, kind="holder")


@changeable(
    router,
    "/{accountId}",
    AccountView,
    account_view,
    access=keys("accounts:write"),
    operation_id="patchAccount",
    summary="Change an account",
    patches=patches(
        AccountChange,
        {"status": "paused"},
        [{"op": "replace", "path": "/status", "value": "paused"}],
    ),
)
async def _patch(accountId: str, caller: Caller, request: Request) -> Change:
    """By JSON Merge Patch or JSON Patch. Paused, it takes nothing new; closed, it does so for
    good."""
    reached = await reach(caller, WRITE, accountId)
    settings = request.app.state.settings
    return by_patch(partial(patch_account, reached.account_id, settings=settings))


async def _to_delete(accountId: str, caller: Caller) -> Target:
    return Target((await reach(caller, WRITE, accountId)).account_id)


async def _to_plan(accountId: str, caller: Caller) -> Target:
    return Target((await reach(caller, READ, accountId)).account_id)


deletable(
    router,
    "/{accountId}",
    Account,
    account_view,
    job="sweeps what belonged to it",
    delete=Operation(
        "deleteAccount",
        keys("accounts:write"),
        _to_delete,
        "Delete an account with its users, cards and spending profiles",
        "From the answer on the account is 404. 200 with the receipt, or 202 where there is much"
        " to be\nswept.",
        ACCOUNT_RECEIPT_SHOWN,
    ),
    plan=Operation(
        "planAccountDeletion",
        keys("accounts:read"),
        _to_plan,
        "What deleting an account would do",
        "Counts per collection of what would go, what would lose a reference, and what forbids it.",
        ACCOUNT_PLAN_SHOWN,
    ),
)


@router.post(
    "/{accountId}/webhook-secret",
    access=keys("accounts:write"),
    operation_id="rotateWebhookSecret",
    summary="Give the webhook another secret",
    responses=problems(409) | answers(SECRET_SHOWN),
)
async def rotate(
    accountId: str, caller: Caller, claim: IdempotencyClaim, request: Request
) -> WebhookSecret:
    """Shown this once. For a day, deliveries carry a signature by the secret before it, too."""
    reached = await reach(caller, WRITE, accountId)

    async def again(_: Repeated) -> Account:
        raise AlreadyDone(
            "the secret was changed and shown before", extra={"id": str(reached.account_id)}
        )

    account = await write_once(claim, partial(rotate_webhook_secret, reached.account_id), again)
    secret = webhook_keys(request.scope).secret(reached.account_id, account.webhook_rotation)
    return WebhookSecret(webhook_secret=secret)


@router.post(
    "/{accountId}/users",
    access=keys("accounts:write"),
    status_code=201,
    operation_id="createAccountUser",
    summary="Create a user of an account",
    responses=problems(409),
)
async def create_user(
    accountId: str,
    content: Annotated[UserContent, USER],
    caller: Caller,
    claim: IdempotencyClaim,
    response: Response,
) -> UserView:
    """User, profile and preferences, in one transaction. The account must be active.

    The email is the account's word: 409 where another user of the account has it, whoever else may.
    """
    reached = await reach(caller, WRITE, accountId)
    check_grants(caller, content)
    done = await create_user_of(reached.account_id, content, claim, caller)
    user = await find_user(done.resource_id)
    response.headers["Location"] = f"/v1/users/{user.id}"
    response.headers["ETag"] = etag(user.version, user.id)
    return user_view(user)


@router.get(
    "/{accountId}/users",
    access=keys("accounts:read"),
    operation_id="listAccountUsers",
    summary="List the users of an account",
    responses=problems() | page_of(USER_SHOWN),
)
async def list_users(
    accountId: str,
    caller: Caller,
    expand: Annotated[str | None, expand_query(User, UserView)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[UserView]:
    """The newest first."""
    reached = await reach(caller, READ, accountId)
    embedded = reached.expansion(expand, User)
    rows, following = await newest(User, {"accountId": reached.account_id}, limit, cursor)
    views = [user_view(each) for each in read_all(User, rows)]
    return Page(items=await embedded.fill_all(views), next_cursor=following)
