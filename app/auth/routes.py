"""Routes of credentials: API keys, access tokens for users, and the key set that verifies them."""

from functools import partial
from typing import Annotated, Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from fastapi import Request, Response
from pydantic import Field
from pymongo.asynchronous.client_session import AsyncClientSession

from app.auth.api_keys import ApiKeyView, IssuedKey, find_key, revoke_key
from app.auth.examples import API_KEY, API_KEY_SHOWN, KEYS_SHOWN, SESSION
from app.errors import AlreadyDone, Forbidden, Invalid
from app.identity import trail
from app.identity.access import ADMIN, PUBLIC, keys
from app.identity.authenticator import authenticator
from app.identity.caller import Caller
from app.identity.principal import Principal, authorize
from app.identity.standing import AT_REST
from app.identity.tokens import server_sid
from app.relations.guards import check_references
from app.users.service import find_user
from app.web.documents import Shown, readable
from app.web.idempotency import Claim, IdempotencyClaim, once
from app.web.openapi.answers import problems
from app.web.openapi.examples import answers, page_of
from app.web.paging import Cursor, Limit, Page, newest
from app.web.preconditions import request_precondition
from app.web.routing import Router
from models.api_key import APP_SCOPES, ApiKey, ApiKeyContent
from models.app import AppId
from models.aside import read_all
from models.base import Fields, now, parse_id
from models.clock import CLOCK
from models.user import INACTIVE

router = Router()
_WITHIN_ACCOUNT: Final = frozenset({"accounts:read", "accounts:write"})


class SessionRequest(Fields):
    """What is asked for when a session is begun for a user."""

    app_id: Annotated[
        AppId | None, Field(description="The only app whose data the token reaches.")
    ] = None


class Session(Fields):
    """An access token, shown this once."""

    user_id: Annotated[str, Field(description="Whose it is.")]
    access_token: Annotated[str, Field(repr=False)]
    token_type: str = "Bearer"  # noqa: S105
    expires_in: Annotated[int, Field(description="Seconds.")]


@router.post(
    "/v1/api-keys",
    access=ADMIN,
    status_code=201,
    operation_id="createApiKey",
    summary="Create an API key",
    responses=problems(400, 409),
    tags=["API keys"],
)
async def create_key(
    content: Annotated[ApiKeyContent, API_KEY],
    caller: Caller,
    claim: IdempotencyClaim,
    response: Response,
) -> IssuedKey:
    """The answer holds the key, this once: a repeat with the same Idempotency-Key is 409 with the
    id."""
    authorize(caller, "admin")
    _check(content)
    key, secret = ApiKey.issue(content)
    done = await once(claim, 201, partial(_add_key, key, caller))
    if done.repeated:
        raise AlreadyDone("the key was made and shown before", extra={"id": str(done.resource_id)})
    response.headers["Location"] = f"/v1/api-keys/{key.id}"
    return IssuedKey(**ApiKeyView.model_validate(key).model_dump(), key=secret)


async def _add_key(
    key: ApiKey, caller: Principal, session: AsyncClientSession, key_id: ObjectId
) -> None:
    key.id = PydanticObjectId(key_id)
    await check_references(ApiKey, {**key.stored(), "_id": key_id}, session)
    await key.add(session)
    await trail.record("key_created", caller.name, detail={"keyId": str(key_id)}, session=session)


def _check(content: ApiKeyContent) -> None:
    if content.app_id is not None and (beyond := sorted(set(content.scopes) - APP_SCOPES)):
        detail = (
            f"{', '.join(beyond)} would reach more than one app's data, to which appId binds"
            " the key"
        )
        raise Invalid.field("/scopes", "conflicting", detail)
    if content.account_id is not None and not {*content.scopes} <= _WITHIN_ACCOUNT:
        reachable = " and ".join(sorted(_WITHIN_ACCOUNT))
        raise Invalid.field(
            "/accountId",
            "conflicting",
            f"a key that is bound to an account has the scopes {reachable}",
        )
    if content.expires_at is not None and content.expires_at <= now():
        raise Invalid.field("/expiresAt", "out_of_range", "expiresAt is in the past")


@router.get(
    "/v1/api-keys",
    access=ADMIN,
    operation_id="listApiKeys",
    summary="List API keys",
    responses=problems() | page_of(API_KEY_SHOWN),
    tags=["API keys"],
)
async def list_keys(caller: Caller, limit: Limit = 50, cursor: Cursor = None) -> Page[ApiKeyView]:
    """The newest first, without the keys themselves."""
    authorize(caller, "admin")
    rows, following = await newest(ApiKey, {}, limit, cursor)
    return Page(
        items=[ApiKeyView.model_validate(each) for each in read_all(ApiKey, rows)],
        next_cursor=following,
    )


@readable(
    router,
    "/v1/api-keys/{keyId}",
    ApiKeyView,
    access=ADMIN,
    operation_id="getApiKey",
    summary="Get an API key",
    shown=API_KEY_SHOWN,
    tags=["API keys"],
)
async def _get_key(keyId: str, caller: Caller) -> Shown:
    """What the key may do, without the key itself."""
    authorize(caller, "admin")
    view = await find_key(parse_id(keyId))
    return Shown(view, view.version)


@router.delete(
    "/v1/api-keys/{keyId}",
    access=ADMIN,
    status_code=204,
    operation_id="deleteApiKey",
    summary="Revoke an API key",
    responses=problems(412),
    tags=["API keys"],
)
async def delete_key(keyId: str, caller: Caller, request: Request) -> None:
    """Honoured no longer: at once by the process that answers, by others within a few seconds (a
    setting)."""
    authorize(caller, "admin")
    key_id = parse_id(keyId)
    await revoke_key(key_id, request_precondition(request), caller.name)
    authenticator(request.scope).forget(key_id)


@router.post(
    "/v1/users/{userId}/sessions",
    access=keys("sessions:write"),
    status_code=201,
    operation_id="createSession",
    summary="Mint an access token for a user",
    responses=problems(409),
    tags=["Sessions"],
)
async def create_session(
    userId: str,
    caller: Caller,
    request: Request,
    claim: IdempotencyClaim,
    body: Annotated[SessionRequest | None, SESSION] = None,
) -> Session:
    """For a server that has signed the user in by itself. Nothing of the token is stored.

    Of a user who is an admin it takes a key with the scope `admin` (403).

    With an Idempotency-Key a repeat is 409, whose `id` is the `sid` of the token that was minted.
    """
    user_id = caller.resolve(userId)
    app_id = (body.app_id if body else None) or caller.app_id
    authorize(caller, "sessions:write", user_id=user_id, app_id=app_id)
    user = await find_user(user_id)
    if user.is_admin and not caller.is_admin:
        raise Forbidden("only an admin asks for the token of an admin")
    if user.status == INACTIVE:
        raise Forbidden(AT_REST)
    session_id = await _new_session(claim)
    token, lifetime = authenticator(request.scope).tokens.mint(
        user_id,
        issued_at=CLOCK.time(),
        app_id=app_id,
        roles=user.token_roles,
        server_session=session_id,
        by_admin=caller.is_admin,
        key_id=caller.id if caller.kind == "key" else None,
    )
    return Session(user_id=str(user_id), access_token=token, expires_in=lifetime)


async def _new_session(claim: Claim | None) -> ObjectId:
    """What names a token that is minted now; with a claim, at most once for it."""
    if claim is None:
        return ObjectId()

    async def nothing_more(session: AsyncClientSession, session_id: ObjectId) -> None:
        """The claim is all that is stored."""

    done = await once(claim, 201, nothing_more)
    if done.repeated:
        raise AlreadyDone(
            "the token was minted and shown before", extra={"id": server_sid(done.resource_id)}
        )
    return done.resource_id


@router.get(
    "/.well-known/jwks.json",
    access=PUBLIC,
    operation_id="getKeySet",
    summary="Keys that verify access tokens",
    responses=answers(KEYS_SHOWN),
    tags=["Sessions"],
)
async def key_set(request: Request) -> dict[str, Any]:
    """A JSON Web Key Set (RFC 7517)."""
    return authenticator(request.scope).tokens.jwks()
