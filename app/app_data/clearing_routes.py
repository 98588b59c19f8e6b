"""Routes of what an app keeps of a person as a whole: which apps, how much, and all of it gone."""

from math import isfinite
from typing import Annotated, Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from fastapi import Query, Request, Response
from pydantic import Field

from app.app_data.clearing import clear, clearing_of
from app.app_data.quotas import rooms_of
from app.apps.registry import app_registry
from app.errors import Invalid, VersionRequired
from app.identity.access import owner_or
from app.identity.caller import Caller
from app.identity.principal import Principal, authorize
from app.relations.leases import Lease, leases
from app.relations.receipts import DeletionPlan, Receipt, Started, receipt_of
from app.web.idempotency import Claim, IdempotencyClaim
from app.web.openapi.answers import IF_MATCH, problems
from app.web.openapi.examples import answers
from app.web.preconditions import request_precondition
from app.web.routing import Router
from models.app import AppId
from models.app_data_clearing import count_kept
from models.app_data_usage import usage_of
from models.base import Fields, Raw, Timestamp
from models.precondition import Expected
from models.user import User

router = Router(prefix="/v1/users/{userId}/apps", tags=["App data"])
_ID: Final = "691f0c0ffee691f0c0ffee69"
_CLEARED: Final = {"appdata": 12, "activities": 40}
_RECEIPT: Final = {
    "id": _ID,
    "deleted": _CLEARED,
    "nulled": {},
    "at": "2026-11-20T09:12:31.002Z",
    "final": True,
}
_PLAN: Final = {"id": _ID, "deleted": _CLEARED, "nulled": {}, "blockers": []}
_USAGE: Final = {
    "appId": "notes",
    "keys": 12,
    "bytes": 4096,
    "changedAt": "2026-11-20T09:12:31.000Z",
}
_ANY: Final = IF_MATCH | {
    "description": "`*`: whatever the versions are; an app with `requireVersion` wants to hear it."
}
_GOES_ON: Final[dict[int | str, dict[str, Any]]] = {
    202: {"description": "A job goes on", "model": Started}
}


class AppUsage(Fields):
    """What one app keeps of a person; of what is deleted, or was replaced, nothing is counted."""

    app_id: str
    keys: int
    bytes: Annotated[int, Field(description="Of the values' JSON.")]
    changed_at: Annotated[
        Timestamp, Field(description="When a value was last written or deleted, to the second.")
    ]


class AppsOfUser(Fields):
    """The apps that keep data of a person."""

    items: list[AppUsage]


@router.get(
    "",
    access=owner_or("data:read"),
    operation_id="listUserApps",
    summary="List the apps that keep data of a user",
    responses=problems() | answers({"items": [_USAGE]}),
)
async def list_apps(userId: str, caller: Caller, request: Request) -> AppsOfUser:
    """Those with live values, in the order of their ids. A caller that is bound to an app sees that
    app alone."""
    user_id = caller.resolve(userId)
    authorize(caller, "data:read", user_id=user_id)
    await leases(request.scope).hold(User, user_id)
    return AppsOfUser(items=[_shown(row) for row in await usage_of(user_id, caller.app_id)])


@router.get(
    "/{appId}/deletion-plan",
    access=owner_or("data:read"),
    operation_id="planUserAppDeletion",
    summary="What deleting all that an app keeps of a user would do",
    responses=problems() | answers(_PLAN),
)
async def plan(userId: str, appId: AppId, caller: Caller, request: Request) -> DeletionPlan:
    """Live values and activities. Former versions and tombstones are not counted; `id` is the
    user's."""
    user_id = caller.resolve(userId)
    authorize(caller, "data:read", user_id=user_id, app_id=appId)
    await leases(request.scope).hold(User, user_id)
    kept = {name: count for name, count in (await count_kept(user_id, appId)).items() if count}
    return DeletionPlan(id=PydanticObjectId(user_id), deleted=kept, nulled={}, blockers=[])


@router.delete(
    "/{appId}",
    access=owner_or("data:write"),
    operation_id="deleteUserApp",
    summary="Delete all that an app keeps of a user",
    responses=problems(409) | _GOES_ON | answers(_RECEIPT),
    response_model=Receipt | Started,
)
async def forget(
    userId: str,
    appId: AppId,
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> Any:
    """Values, their former versions, and activity. 200 with the receipt, or 202 where there is
    much: a job goes on.

    Each value leaves a tombstone, without former versions, so that devices that sync empty their
    caches, until it is purged. What is written after the request stays. Analytics' events are not
    the app's own and stay, too.
    """
    user_id = caller.resolve(userId)
    authorize(caller, "data:write", user_id=user_id, app_id=appId)
    return await _clear(request, response, caller, claim, user_id, appId, "", forget=True)


Prefix = Annotated[str, Query(min_length=1, max_length=256, description="Keys that start so.")]


@router.delete(
    "/{appId}/data",
    access=owner_or("data:write"),
    operation_id="deleteAppDataByPrefix",
    summary="Delete the values whose keys start alike",
    responses=problems(409, 428) | _GOES_ON | answers(_RECEIPT),
    response_model=Receipt | Started,
    openapi_extra={"parameters": [_ANY]},
)
async def delete_by_prefix(
    userId: str,
    appId: AppId,
    prefix: Prefix,
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> Any:
    """Each leaves a tombstone. 200 with the receipt, or 202 where there are many: a job goes on.

    What is written after the request stays. An app with `requireVersion` takes it with
    `If-Match: *` alone, which says that any versions will do: else 428.
    """
    user_id = caller.resolve(userId)
    authorize(caller, "data:write", user_id=user_id, app_id=appId)
    await _see_that_any_version_will_do(request, appId)
    return await _clear(request, response, caller, claim, user_id, appId, prefix, forget=False)


async def _see_that_any_version_will_do(request: Request, app_id: str) -> None:
    """See that the request asks for no version, and says so where the app wants to hear it.

    Raises:
        Invalid: it names a version, or a date, of which every value has its own.
        VersionRequired: it says nothing, and the app takes no write without a precondition.
    """
    expected = request_precondition(request)
    if expected is None:
        if (await app_registry(request.scope).settings_of(app_id)).require_version:
            raise VersionRequired("send If-Match: * to delete them whatever their versions are")
    elif expected != Expected():
        raise Invalid.field(
            "header:If-Match", "not_allowed", "each value has its own version: send * or nothing"
        )


async def _clear(
    request: Request,
    response: Response,
    caller: Principal,
    claim: Claim | None,
    user_id: ObjectId,
    app_id: str,
    prefix: str,
    *,
    forget: bool,
) -> Receipt | Started:
    """Clear for a caller, and say how far it has come."""
    app = await app_registry(request.scope).settings_of(app_id)
    what = clearing_of(
        user_id, app_id, caller.name, prefix=prefix, forget=forget, history=app.history
    )
    lease = Lease(leases(request.scope), User, user_id)
    await lease.hold()
    ledger = await clear(what, lease, claim, request.app.state.settings)
    rooms_of(request.scope).forget(user_id, app_id)
    if ledger.swept:
        return await receipt_of(ledger)
    response.status_code = 202
    response.headers["Location"] = f"/v1/deletions/{ledger.id}"
    return Started(job_id=str(ledger.id))


def _shown(row: Raw) -> AppUsage:
    changed_at = row["changedAt"].as_datetime()
    size = int(row["bytes"]) if isfinite(row["bytes"]) else 0
    return AppUsage(app_id=row["appId"], keys=row["keys"], bytes=size, changed_at=changed_at)
