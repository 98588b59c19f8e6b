"""Routes of bank connections, their accounts and transactions, and Teller's webhooks."""

from functools import partial
from typing import Annotated, Any

from bson import ObjectId
from fastapi import Query, Request, Response
from pydantic import AfterValidator

from app.connections.decisions import Decision, decide
from app.connections.examples import (
    BANK_ACCOUNT_SHOWN,
    CONNECTION,
    CONNECTION_SHOWN,
    DECISION,
    SYNC_SHOWN,
    TELLER_WEBHOOK,
    TRANSACTION_SHOWN,
)
from app.connections.providers.api import is_date
from app.connections.schemas import (
    BankAccountView,
    ConnectionChange,
    ConnectionView,
    NewConnection,
    SyncView,
    TransactionView,
)
from app.connections.service import (
    authorize_bank,
    connect,
    find_account,
    find_connection,
    patch_connection,
)
from app.connections.syncs import sync_now
from app.connections.webhooks import take, verify
from app.identity.access import SIGNED, owner_or
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.outside.keyring import keyring_of
from app.outside.signatures import Signed
from app.relations.deletable import Operation, Target, deletable
from app.shown.documents import UserView
from app.users.service import expand_user
from app.web.cursors import decode_cursor
from app.web.documents import Change, Shown, changeable, readable
from app.web.etags import etag
from app.web.idempotency import Claim, IdempotencyClaim, Repeated, at_most_once
from app.web.openapi.answers import Expand, problems
from app.web.openapi.examples import PLAN_SHOWN, RECEIPT_SHOWN, answers, page_of
from app.web.openapi.patch_bodies import patches
from app.web.paging import Cursor, Limit, Page, newest, page
from app.web.patches import patch_kind
from app.web.preconditions import request_precondition
from app.web.routing import Router
from app.web.validation.queries import check_span
from models.aside import read_all
from models.bank_account import BankAccount
from models.base import parse_id
from models.connection import Connection
from models.transaction import Transaction, TransactionStatus

router = Router(tags=["Connections"])


def _calendar_date(text: str) -> str:
    if not is_date(text):
        raise ValueError("not a date such as 2026-11-21")
    return text


Day = Annotated[str, AfterValidator(_calendar_date)]


@router.post(
    "/v1/users/{userId}/connections",
    access=owner_or("connections:write"),
    status_code=201,
    operation_id="createConnection",
    summary="Connect a bank login",
    responses=problems(409),
)
async def create(
    userId: str,
    content: Annotated[NewConnection, CONNECTION],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> ConnectionView:
    """The token is tried before anything is stored; accounts and transactions come with the first
    sync, soon after."""
    user_id = caller.resolve(userId)
    authorize_bank(caller, "connections:write", user_id, "user")
    done = await connect(
        user_id, content, claim, request.app.state.settings, keyring_of(request.scope)
    )
    connection = await find_connection(caller, "connections:write", done.resource_id)
    response.headers["Location"] = f"/v1/connections/{connection.id}"
    response.headers["ETag"] = etag(connection.version, connection.id)
    return ConnectionView.model_validate(connection)


@router.get(
    "/v1/users/{userId}/connections",
    access=owner_or("connections:read"),
    operation_id="listConnections",
    summary="List a user's bank connections",
    responses=problems() | page_of(CONNECTION_SHOWN),
)
async def list_connections(
    userId: str, caller: Caller, limit: Limit = 50, cursor: Cursor = None, expand: Expand = None
) -> Page[ConnectionView]:
    """The newest first."""
    user_id = caller.resolve(userId)
    authorize_bank(caller, "connections:read", user_id, "user")
    if expand:
        authorize(caller, "users:read", user_id=user_id)
    user = UserView.model_validate(await expand_user(user_id))
    rows, following = await newest(Connection, {"userId": user_id}, limit, cursor)
    views = [ConnectionView.model_validate(each) for each in read_all(Connection, rows)]
    if expand:
        views = [view.model_copy(update={"user": user}) for view in views]
    return Page(items=views, next_cursor=following)


@readable(
    router,
    "/v1/connections/{connectionId}",
    ConnectionView,
    access=owner_or("connections:read"),
    operation_id="getConnection",
    summary="Get a bank connection",
    shown=CONNECTION_SHOWN,
)
async def _get(connectionId: str, caller: Caller) -> Shown:
    """Its state and why, when it was synced and when it will be."""
    connection = await find_connection(caller, "connections:read", parse_id(connectionId))
    return Shown(ConnectionView.model_validate(connection), connection.version)


@changeable(
    router,
    "/v1/connections/{connectionId}",
    ConnectionView,
    ConnectionView.model_validate,
    access=owner_or("connections:write"),
    operation_id="patchConnection",
    summary="Change a bank connection",
    patches=patches(
        ConnectionChange,
        {"label": "Business"},
        [{"op": "replace", "path": "/label", "value": "Business"}],
    ),
    responses=answers(CONNECTION_SHOWN),
)
async def _patch(connectionId: str, caller: Caller) -> Change:
    """Names; `accessToken` after a new login, tried first; `status: disconnected`, which erases the
    token at once."""
    connection = await find_connection(caller, "connections:write", parse_id(connectionId))
    return partial(_changed, connection)


async def _changed(connection: Connection, claim: Claim | None, request: Request) -> Connection:
    kind, expected = patch_kind(request.headers.get("content-type")), request_precondition(request)
    settings, body = request.app.state.settings, await request.json()
    keyring = keyring_of(request.scope)

    async def again(_: Repeated) -> Connection:
        return connection

    work = partial(patch_connection, connection, kind, body, expected, settings, keyring, claim)
    return await at_most_once(claim, work, again)


async def _to_delete(connectionId: str, caller: Caller) -> Target:
    found = await find_connection(caller, "connections:write", parse_id(connectionId))
    return Target(ObjectId(found.id))


async def _to_plan(connectionId: str, caller: Caller) -> Target:
    found = await find_connection(caller, "connections:read", parse_id(connectionId))
    return Target(ObjectId(found.id))


deletable(
    router,
    "/v1/connections/{connectionId}",
    Connection,
    ConnectionView.model_validate,
    job="sweeps what belonged to it",
    delete=Operation(
        "deleteConnection",
        owner_or("connections:write"),
        _to_delete,
        "Delete a bank connection, its accounts and their transactions",
        "The token is erased with it; the provider's access to the bank is given up by a job.",
        RECEIPT_SHOWN,
    ),
    plan=Operation(
        "planConnectionDeletion",
        owner_or("connections:read"),
        _to_plan,
        "What deleting a bank connection would do",
        "Counts per collection of what would go.",
        PLAN_SHOWN,
    ),
)


@router.post(
    "/v1/connections/{connectionId}/sync",
    access=owner_or("connections:write"),
    operation_id="syncConnection",
    summary="Sync a bank connection now",
    responses=problems(409) | answers(SYNC_SHOWN),
)
async def sync(connectionId: str, caller: Caller, request: Request) -> SyncView:
    """For some seconds; the worker goes on with what is left. 409 with the running one's state
    where one runs."""
    connection = await find_connection(caller, "connections:write", parse_id(connectionId))
    after, done = await sync_now(connection, request.app.state.settings, keyring_of(request.scope))
    return SyncView(
        state="done" if done else "continues", connection=ConnectionView.model_validate(after)
    )


@router.get(
    "/v1/connections/{connectionId}/accounts",
    access=owner_or("connections:read"),
    operation_id="listBankAccounts",
    summary="List the accounts of a bank connection",
    responses=problems() | page_of(BANK_ACCOUNT_SHOWN),
)
async def list_accounts(
    connectionId: str, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[BankAccountView]:
    """The newest first; closed ones are kept."""
    connection = await find_connection(caller, "connections:read", parse_id(connectionId))
    rows, following = await newest(BankAccount, {"connectionId": connection.id}, limit, cursor)
    views = [BankAccountView.model_validate(each) for each in read_all(BankAccount, rows)]
    return Page(items=views, next_cursor=following)


@router.post(
    "/v1/connections/{connectionId}/decisions",
    access=owner_or("connections:write"),
    operation_id="decideBankAccount",
    summary="Say which bank account an undecided one is",
    responses=problems() | answers(BANK_ACCOUNT_SHOWN),
)
async def decide_account(
    connectionId: str, content: Annotated[Decision, DECISION], caller: Caller
) -> BankAccountView:
    """An account of the connection's `undecided` is joined to one of before, or added as a new one.
    A sync follows."""
    connection = await find_connection(caller, "connections:write", parse_id(connectionId))
    return BankAccountView.model_validate(await decide(connection, content))


@router.get(
    "/v1/bank-accounts/{bankAccountId}/transactions",
    access=owner_or("connections:read"),
    operation_id="listTransactions",
    summary="List the transactions of a bank account",
    responses=problems() | page_of(TRANSACTION_SHOWN),
)
async def list_transactions(
    bankAccountId: str,
    caller: Caller,
    start: Annotated[Day | None, Query(alias="from", description="A date, inclusive.")] = None,
    end: Annotated[Day | None, Query(alias="to", description="A date, exclusive.")] = None,
    status: TransactionStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[TransactionView]:
    """The newest first."""
    check_span(start, end)
    account = await find_account(caller, "connections:read", parse_id(bankAccountId))
    after: Any = decode_cursor(cursor, str, ObjectId)
    found = await Transaction.list_of(
        ObjectId(account.id), limit + 1, start=start, end=end, status=status, after=after
    )
    items, following = page(found, limit, lambda content: (content.date, content.id))
    return Page(
        items=[TransactionView.model_validate(content) for content in items], next_cursor=following
    )


@router.post(
    "/v1/webhooks/teller",
    access=SIGNED,
    status_code=202,
    operation_id="takeTellerWebhook",
    summary="Teller's webhooks",
    responses=problems(),
    openapi_extra=TELLER_WEBHOOK,
    response_class=Response,
)
async def teller_webhook(request: Request, _: Signed = None) -> Response:
    """Signed by `Teller-Signature`; at most 3 minutes old. A sync of what it is about follows."""
    body = await request.body()
    verify(request.headers.get("teller-signature"), body, request.app.state.settings)
    await take(await request.json())
    return Response(status_code=202)
