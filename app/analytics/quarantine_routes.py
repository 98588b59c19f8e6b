"""Routes around ingest: what was set aside, and external ids that are users."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Path, Query, Request, Response
from pydantic import ConfigDict, Field

from app.analytics.examples import EXTERNAL_ID
from app.analytics.ingest.identities import link
from app.analytics.ingest.intake import intake
from app.errors import Forbidden, Invalid, NotFound
from app.identity.access import keys
from app.identity.caller import Caller, spare_admins
from app.identity.principal import authorize
from app.web.cursors import decode_cursor
from app.web.openapi.answers import problems
from app.web.openapi.examples import answers, page_of
from app.web.paging import Cursor, Limit, Page, page
from app.web.routing import Router
from models.app import AppId
from models.base import Fields, Timestamp, parse_id
from models.external_id import ExternalId
from models.nobody import is_nobody
from models.quarantine import QuarantinedEvent

router = Router(tags=["Analytics"])
_SET_ASIDE: Final = {
    "id": "5f2c9a0c1d3b7e425f2c9a0c1d3b7e42",
    "appId": "notes",
    "pointer": "/eventName",
    "code": "missing",
    "detail": "the field is missing",
    "event": {"type": "track"},
    "sentBy": "key:691f0c0ffee691f0c0ffee69",
    "receivedAt": "2026-11-20T08:30:00.125Z",
}
_LINKED: Final = {"appId": "notes", "externalId": "crm-7", "userId": "691f0c0ffee691f0c0ffee69"}


class QuarantineView(Fields):
    """An event that was set aside, and why: `pointer` names the field."""

    model_config = ConfigDict(from_attributes=True, extra="ignore", validate_by_name=True)

    id: str
    app_id: str | None = None
    pointer: str
    code: str
    detail: str
    event: Any = None
    sent_by: str
    received_at: Timestamp


class ExternalIdBody(Fields):
    """Who an external id is."""

    user_id: Annotated[str, Field(description="A user's id.")]


class ExternalIdView(Fields):
    """An external id of an app, and who that is."""

    app_id: str
    external_id: str
    user_id: str


@router.get(
    "/v1/analytics/quarantine",
    access=keys("analytics:read"),
    operation_id="listQuarantine",
    summary="List events that were set aside",
    responses=problems() | page_of(_SET_ASIDE),
)
async def list_quarantine(
    caller: Caller,
    app_id: Annotated[AppId | None, Query(alias="appId")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[QuarantineView]:
    """The newest first, each with its reason; kept for SATCHEL_QUARANTINE_DAYS."""
    app_id = app_id or (None if caller.is_admin else caller.app_id)
    authorize(caller, "analytics:read", app_id=app_id)
    after = decode_cursor(cursor, datetime, str)
    found = await QuarantinedEvent.newest(
        app_id, limit + 1, (after[0], after[1]) if after else None
    )
    items, following = page(found, limit, lambda event: (event.received_at, event.id))
    return Page(
        items=[QuarantineView.model_validate(item) for item in items], next_cursor=following
    )


@router.put(
    "/v1/apps/{appId}/external-ids/{externalId}",
    access=keys("users:write"),
    operation_id="putExternalId",
    summary="Say which user an external id is",
    responses=problems(409)
    | answers(_LINKED)
    | {201: {"model": ExternalIdView, "description": "Linked"}},
)
async def put_external_id(
    appId: AppId,
    externalId: Annotated[str, Path(min_length=1, max_length=256)],
    body: Annotated[ExternalIdBody, EXTERNAL_ID],
    caller: Caller,
    request: Request,
    response: Response,
) -> ExternalIdView:
    """Events that carry the id, earlier ones too, are the user's, and go with the user. 409 if it
    is another's."""
    if caller.kind == "user" and not caller.is_admin:
        raise Forbidden("this needs an API key with the scope users:write")
    user_id = parse_id(body.user_id)
    authorize(caller, "users:write", user_id=user_id, app_id=appId)
    if user_id is None:
        raise Invalid.field("/userId", "malformed", "not a user's id")
    if parse_id(externalId) is not None:
        raise Invalid.field("path:externalId", "conflicting", "24 hex digits are an id of ours")
    if is_nobody(externalId):
        raise Invalid.field(
            "path:externalId",
            "not_allowed",
            "this is nobody's id: events that carry it name nobody",
        )
    await spare_admins(caller, user_id)
    try:
        created = await link(appId, externalId, user_id, intake(request.scope))
    except NotFound:
        raise Invalid.field("/userId", "unknown_user", "there is no such user") from None
    response.status_code = 201 if created else 200
    return ExternalIdView(app_id=appId, external_id=externalId, user_id=body.user_id)


@router.get(
    "/v1/apps/{appId}/external-ids/{externalId}",
    access=keys("users:read"),
    operation_id="getExternalId",
    summary="Get the user of an external id",
    responses=problems() | answers(_LINKED),
)
async def get_external_id(appId: AppId, externalId: str, caller: Caller) -> ExternalIdView:
    """404 where it is nobody's (yet)."""
    if caller.kind == "user" and not caller.is_admin:
        raise Forbidden("this needs an API key with the scope users:read")
    authorize(caller, "users:read", app_id=appId)
    row = await ExternalId.raw().find_one({"appId": appId, "externalId": externalId})
    if row is None:
        raise NotFound("there is no such external id")
    return ExternalIdView(app_id=appId, external_id=externalId, user_id=str(row["userId"]))
