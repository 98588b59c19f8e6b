"""Routes of a value's history."""

from typing import Annotated, Any, Final

from fastapi import Body, Path, Request, Response

from app.app_data.history import Restore, VersionView, list_versions, read_version, restore_version
from app.app_data.openapi import ENVELOPE, VERSION_RESPONSE, VERSION_SHOWN
from app.app_data.place import Place
from app.app_data.quotas import rooms_of
from app.app_data.swaps import swaps_of
from app.app_data.values import value_again
from app.app_data.writes import write_options
from app.apps.registry import app_registry
from app.identity.access import owner_or
from app.identity.caller import Caller
from app.identity.principal import Principal, authorize, may
from app.relations.leases import Lease, leases
from app.web.body import dump_json
from app.web.cursors import decode_cursor
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim, Repeated, at_most_once
from app.web.openapi.answers import mismatch_of, problems
from app.web.openapi.examples import page_of
from app.web.paging import Cursor, Limit, Page, page
from app.web.preconditions import request_precondition
from app.web.routing import Router
from models.app import AppId, DataKey
from models.user import User

router = Router(prefix="/v1/users/{userId}/apps/{appId}/data/{dataKey}", tags=["App data"])
_RESTORE: Final = Body(openapi_examples={"first": {"value": {"version": 1}}})
Version = Annotated[int, Path(ge=1, le=2**53, description="Which version.")]


@router.get(
    "/history",
    access=owner_or("data:read"),
    operation_id="listAppDataVersions",
    summary="List the versions of a value",
    responses=problems() | page_of(VERSION_SHOWN),
)
async def list_all(
    userId: str,
    appId: AppId,
    dataKey: DataKey,
    caller: Caller,
    request: Request,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[VersionView]:
    """The newest first, that of now among them; of a value that was deleted, too. Former ones are
    there where the app keeps `history`."""
    place = _place(request, caller, "data:read", userId, appId, dataKey)
    below = _below(cursor)
    found = [
        each for each in await list_versions(place, caller) if below is None or each.version < below
    ]
    items, following = page(found[: limit + 1], limit, lambda each: (str(each.version),))
    return Page(items=items, next_cursor=following)


@router.get(
    "/history/{version}",
    access=owner_or("data:read"),
    operation_id="getAppDataVersion",
    summary="Get a version of a value",
    responses=VERSION_RESPONSE | problems(),
)
async def get(
    userId: str, appId: AppId, dataKey: DataKey, version: Version, caller: Caller, request: Request
) -> Response:
    """With its value, unless it is a deletion."""
    place = _place(request, caller, "data:read", userId, appId, dataKey)
    found = await read_version(place, version, caller)
    return Response(dump_json(found), media_type="application/json")


@router.post(
    "/restore",
    access=owner_or("data:write"),
    operation_id="restoreAppData",
    summary="Restore a version of a value",
    responses={
        200: {"description": "Restored", "content": ENVELOPE},
        201: {"description": "Restored where no value was", "content": ENVELOPE},
    }
    | problems(409, 428, 507)
    | mismatch_of(ENVELOPE["application/json"]["schema"]),
)
async def restore(
    userId: str,
    appId: AppId,
    dataKey: DataKey,
    content: Annotated[Restore, _RESTORE],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
) -> Response:
    """Its value is written anew as the newest version, and does not end; of a value that was
    deleted, too."""
    place = _place(request, caller, "data:write", userId, appId, dataKey)
    settings = await app_registry(request.scope).settings_of(appId)
    options = write_options(
        settings, request_precondition(request), {}, request.headers.get("prefer"), claim
    )

    async def work() -> tuple[int, dict[str, Any], Any]:
        envelope, written = await restore_version(place, content.version, options)
        return 201 if written.created else 200, envelope, written.id

    async def again(done: Repeated) -> tuple[int, dict[str, Any], Any]:
        wanted = options.wants_value(default=True)
        return done.status, *await value_again(place, done, with_value=wanted)

    status, envelope, key = await at_most_once(claim, work, again)
    told = place.rooms.headers(place.user_id, place.app_id, settings.quota)
    headers = {"ETag": etag(envelope["version"], key), **told}
    return Response(dump_json(envelope), status, headers, "application/json")


def _place(
    request: Request, caller: Principal, scope: str, user: str, app_id: str, data_key: str
) -> Place:
    """What the path names, with the caller let pass."""
    user_id = caller.resolve(user)
    authorize(caller, scope, user_id=user_id, app_id=app_id)
    lease = Lease(leases(request.scope), User, user_id)
    may_read = may(caller, "data:read", user_id=user_id)
    rooms, swaps = rooms_of(request.scope), swaps_of(request.scope)
    return Place(user_id, app_id, data_key, caller.name, lease, rooms, swaps, may_read)


def _below(cursor: str | None) -> int | None:
    """The version before which a page goes on."""
    after = decode_cursor(cursor, int)
    return None if after is None else after[0]
