"""Routes of users, their logins, and their deletion."""

from functools import partial
from typing import Annotated

from bson import ObjectId
from fastapi import Query, Request, Response
from pydantic import Field

from app.apps.registry import app_registry
from app.errors import Invalid, NotFound
from app.identity.access import keys, owner_or
from app.identity.caller import Caller
from app.identity.principal import authorize, may
from app.relations.deletable import Operation, Target, deletable
from app.relations.leases import leases
from app.relations.merging.commit import missing
from app.relations.receipts import Receipt, receipt_of
from app.shown.documents import Embedded, UserView, user_view
from app.shown.expanding import expand_query, expansion
from app.users.examples import COMPLETE_SHOWN, LOGIN, USER, USER_SHOWN
from app.users.finding import Sought, find_users
from app.users.schemas import CompleteView, UserChange
from app.users.service import check_grants, complete, create_user, find_user, log_in, patch_user
from app.web.documents import Change, Shown, by_patch, changeable, readable
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim
from app.web.openapi.answers import problems
from app.web.openapi.examples import PLAN_SHOWN, RECEIPT_SHOWN, answers, page_of
from app.web.openapi.patch_bodies import patches
from app.web.paging import Cursor, Limit, Page
from app.web.routing import Router
from app.web.validation.queries import check_span
from models.activity import SessionId
from models.app import AppId
from models.aside import read_all
from models.base import Fields, Timestamp, parse_id
from models.deletion import Deletion
from models.phone import SoughtPhone
from models.user import Role, SoughtEmail, Status, User, UserContent

router = Router(prefix="/v1/users", tags=["Users"])
Expand = Annotated[str | None, expand_query(User, UserView)]


class Login(Fields):
    """A login to note."""

    app_id: AppId
    session_id: SessionId | None = None


class LoggedIn(Fields):
    """What a login left: the id of the activity, and the user where the caller may read users."""

    user: Embedded = None
    activity_id: Annotated[str, Field(description="Id of the `login` activity.")]


@router.post(
    "",
    access=keys("users:write"),
    status_code=201,
    operation_id="createUser",
    summary="Create a user",
    responses=problems(409),
)
async def create(
    content: Annotated[UserContent, USER],
    caller: Caller,
    claim: IdempotencyClaim,
    response: Response,
) -> UserView:
    """User, profile and preferences, in one transaction."""
    authorize(caller, "users:write")
    check_grants(caller, content)
    done = await create_user(content, claim, caller)
    user = await find_user(done.resource_id)
    response.headers["Location"] = f"/v1/users/{user.id}"
    response.headers["ETag"] = etag(user.version, user.id)
    return user_view(user)


@router.get(
    "",
    access=keys("users:read"),
    operation_id="listUsers",
    summary="List users, or find one",
    responses=problems() | page_of(USER_SHOWN),
)
async def list_users(
    caller: Caller,
    email: Annotated[
        SoughtEmail | None, Query(max_length=1024, description="In any spelling; `+` is `%2B`.")
    ] = None,
    phone: Annotated[
        SoughtPhone | None, Query(max_length=64, description="By which they sign in; `+` is `%2B`.")
    ] = None,
    valu_user_id: Annotated[str | None, Query(alias="valuUserId", max_length=256)] = None,
    merkos_user_id: Annotated[str | None, Query(alias="merkosUserId", max_length=256)] = None,
    prefix: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=255,
            description="Of the name, whatever case and accents; in the order of names.",
        ),
    ] = None,
    role: Annotated[Role | None, Query()] = None,
    status: Annotated[Status | None, Query()] = None,
    account_id: Annotated[str | None, Query(alias="accountId", max_length=64)] = None,
    start: Annotated[
        Timestamp | None, Query(alias="from", description="When they were made; inclusive.")
    ] = None,
    end: Annotated[Timestamp | None, Query(alias="to", description="Exclusive.")] = None,
    expand: Expand = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[UserView]:
    """Those who have all that is told, the newest first."""
    authorize(caller, "users:read")
    embedded = expansion(expand, User, caller)
    told = {"email": email, "valuUserId": valu_user_id, "merkosUserId": merkos_user_id}
    check_span(start, end)
    known = {name: each for name, each in told.items() if each is not None}
    sought = Sought(known, phone, prefix, role, _account_of(account_id), start, end, status)
    rows, following = await find_users(sought, limit, cursor)
    views = [user_view(each) for each in read_all(User, rows)]
    return Page(items=await embedded.fill_all(views), next_cursor=following)


def _account_of(text: str | None) -> ObjectId | None:
    if text is not None and parse_id(text) is None:
        raise Invalid.field("?accountId", "malformed", "not an account's id")
    return None if text is None else parse_id(text)


@readable(
    router,
    "/{userId}",
    UserView,
    access=owner_or("users:read"),
    operation_id="getUser",
    summary="Get a user",
    shown=USER_SHOWN,
    refused=(410,),
)
async def _get(userId: str, caller: Caller, expand: Expand = None) -> Shown:
    """A user; `me` is the caller's own. With `expand` there is no ETag. Servers and admins are told
    410 `merged` of somebody who was merged, and `into` whom."""
    user_id = caller.resolve(userId)
    authorize(caller, "users:read", user_id=user_id)
    embedded = expansion(expand, User, caller, user_id=user_id)
    try:
        user = await find_user(user_id)
    except NotFound:
        told = caller.kind == "key" or caller.is_admin
        raise (await missing(user_id) if told else NotFound("there is no such user")) from None
    if not expand:
        return Shown(user_view(user), user.version)
    return Shown(await embedded.fill_one(user_view(user)), user.version, is_whole=False)


@changeable(
    router,
    "/{userId}",
    UserView,
    user_view,
    access=owner_or("users:write", live=True),
    operation_id="patchUser",
    summary="Change a user",
    patches=patches(
        UserChange, {"name": "Ann B."}, [{"op": "replace", "path": "/name", "value": "Ann B."}]
    ),
    responses=problems(400),
)
async def _patch(userId: str, caller: Caller) -> Change:
    """By JSON Merge Patch or JSON Patch. Owners change their name, keys what identifies a person,
    admins grants."""
    user_id = caller.resolve(userId)
    authorize(caller, "users:write", user_id=user_id)
    return by_patch(partial(patch_user, caller, user_id))


async def _to_delete(userId: str, caller: Caller) -> Target:
    user_id = caller.resolve(userId)
    authorize(caller, "users:write", user_id=user_id)
    return Target(user_id)


async def _to_plan(userId: str, caller: Caller) -> Target:
    user_id = caller.resolve(userId)
    authorize(caller, "users:read", user_id=user_id)
    await find_user(user_id)
    return Target(user_id)


deletable(
    router,
    "/{userId}",
    User,
    user_view,
    job="sweeps what belonged to them",
    delete=Operation(
        "deleteUser",
        owner_or("users:write", live=True),
        _to_delete,
        "Delete a user and all that belongs to them",
        "From the answer on the user is 404. 200 with the receipt, or 202 where there is much to be"
        "\nswept.\n\nWith `If-Match`, only if the user still has that version when it goes.",
        RECEIPT_SHOWN,
    ),
    plan=Operation(
        "planUserDeletion",
        owner_or("users:read"),
        _to_plan,
        "What deleting a user would do",
        "Counts per collection of what would go, what would lose a reference, and what forbids it.",
        PLAN_SHOWN,
    ),
)


@router.get(
    "/{userId}/deletion",
    access=owner_or("users:write"),
    operation_id="getUserDeletion",
    summary="How far the deletion of a user is",
    responses=problems() | answers(RECEIPT_SHOWN),
)
async def deletion(userId: str, caller: Caller) -> Receipt:
    """The receipt, for whoever deleted the user or may: counts so far while a job goes on, `final`
    in the end."""
    user_id = caller.resolve(userId)
    ledger = await Deletion.find_by_id(user_id)
    if ledger is None or ledger.by != caller.name:
        authorize(caller, "users:write", user_id=user_id)
    if ledger is None or ledger.root != User.collection_name():
        raise NotFound("no deletion of this user is known")
    return await receipt_of(ledger)


@router.get(
    "/{userId}/complete",
    access=owner_or("users:read"),
    operation_id="getCompleteUser",
    summary="Get a user with profile and preferences",
    responses=problems() | answers(COMPLETE_SHOWN),
)
async def get_complete(userId: str, caller: Caller) -> CompleteView:
    """All three by one query."""
    user_id = caller.resolve(userId)
    authorize(caller, "users:read", user_id=user_id)
    return await complete(user_id)


@router.post(
    "/{userId}/logins",
    access=owner_or("data:write"),
    status_code=201,
    operation_id="logIn",
    summary="Note a login",
    responses=problems(409),
)
async def login(
    userId: str,
    body: Annotated[Login, LOGIN],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
) -> LoggedIn:
    """`lastLogin`, an activity and an event, in one transaction."""
    user_id = caller.resolve(userId)
    authorize(caller, "data:write", user_id=user_id, app_id=body.app_id)
    await app_registry(request.scope).settings_of(body.app_id)
    await leases(request.scope).hold(User, user_id)
    done = await log_in(user_id, body.app_id, body.session_id, claim)
    user = (
        user_view(await find_user(user_id)) if may(caller, "users:read", user_id=user_id) else None
    )
    return LoggedIn(user=user, activity_id=str(done.resource_id))
