"""Routes of a project's repository connection, its health and events, and the hosts' webhooks."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, get_args

from beanie import PydanticObjectId
from bson import ObjectId
from fastapi import Query, Request, Response

from app.errors import NotFound, Unavailable
from app.identity.access import PROJECT_ADMINS, PROJECT_MEMBERS, SIGNED
from app.identity.caller import Caller
from app.outside.keyring import keyring_of
from app.outside.signatures import Signed
from app.relations.deletable import Operation, Target, deletable
from app.repositories.connect import (
    activate,
    find_repository,
    put_repository,
    rotate_secret,
)
from app.repositories.deactivation import deactivate
from app.repositories.deliveries.inbox import process_again, receive
from app.repositories.deliveries.reading import neighbourhood
from app.repositories.examples import (
    EVENT_SHOWN,
    GIT_WEBHOOK,
    HEALTH_SHOWN,
    REPOSITORY,
    REPOSITORY_SHOWN,
)
from app.repositories.projects import find_project
from app.repositories.schemas import (
    CurrentInfo,
    EventView,
    HealthView,
    NewRepository,
    RepositoryChange,
    RepositoryConnectionInfo,
    Taken,
)
from app.shown.documents import current
from app.web.cursors import decode_cursor
from app.web.documents import Change, Shown, changeable, readable
from app.web.etags import etag
from app.web.idempotency import Claim, IdempotencyClaim, Repeated, at_most_once, claiming
from app.web.openapi.answers import mismatch_of, problems
from app.web.openapi.examples import RECEIPT_SHOWN, answers, page_of
from app.web.openapi.patch_bodies import answer_component, patches
from app.web.paging import Cursor, Limit, Page, page
from app.web.patches import patch_kind, patched
from app.web.preconditions import request_precondition, require
from app.web.routing import Router
from models.base import parse_id
from models.repository_connection import RepositoryConnection, ServiceType
from models.webhook_event import EventStatus, WebhookEvent

router = Router(tags=["Repositories"])
_PATH = "/v1/projects/{projectId}/repository"
_HOSTS: Final = " and ".join([", ".join(get_args(ServiceType)[:-1]), get_args(ServiceType)[-1]])
_MISMATCH = mismatch_of(answer_component("RepositoryConnectionCurrent", CurrentInfo))


async def _find(
    caller: Caller, scope: str, project: str, *, write: bool = False
) -> RepositoryConnection:
    found = await find_project(caller, scope, parse_id(project), write=write)
    return await find_repository(ObjectId(found.id))


@readable(
    router,
    _PATH,
    RepositoryConnectionInfo,
    access=PROJECT_MEMBERS,
    operation_id="getRepository",
    summary="Get a project's repository connection",
    shown=REPOSITORY_SHOWN,
)
async def _get(projectId: str, caller: Caller) -> Shown:
    """What the public may see of it; token and secret never."""
    found = await _find(caller, "projects:read", projectId)
    view = RepositoryConnectionInfo.model_validate(found)
    return Shown(view, found.version, changed=found.updated_at)


@router.put(
    _PATH,
    access=PROJECT_ADMINS,
    operation_id="putRepository",
    summary="Connect a project to its repository",
    responses=problems(409)
    | _MISMATCH
    | {201: {"description": "The project had none", "model": RepositoryConnectionInfo}},
)
async def put(
    projectId: str,
    content: Annotated[NewRepository, REPOSITORY],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> RepositoryConnectionInfo:
    """The token is tried, then stored, then the webhook is registered. Another URL replaces the one
    there is."""
    project = await find_project(caller, "projects:write", parse_id(projectId), write=True)
    expected, settings = request_precondition(request), request.app.state.settings
    project_id = ObjectId(project.id)

    async def again(done: Repeated) -> tuple[RepositoryConnection, bool]:
        return await find_repository(project_id), done.status == 201

    work = partial(
        put_repository, project_id, content, expected, settings, keyring_of(request.scope), claim
    )
    made, created = await at_most_once(claim, work, again)
    response.status_code = 201 if created else 200
    response.headers["ETag"] = etag(made.version, made.id)
    return RepositoryConnectionInfo.model_validate(made)


@changeable(
    router,
    _PATH,
    RepositoryConnectionInfo,
    RepositoryConnectionInfo.model_validate,
    access=PROJECT_ADMINS,
    operation_id="patchRepository",
    summary="Deactivate a repository connection, or activate it again",
    patches=patches(
        RepositoryChange,
        {"isActive": False},
        [{"op": "replace", "path": "/isActive", "value": False}],
    ),
    responses=_MISMATCH | answers(REPOSITORY_SHOWN),
)
async def _patch(projectId: str, caller: Caller) -> Change:
    """By `isActive`. A deactivated one takes no deliveries, and its webhook is removed; it keeps
    its token."""
    return partial(_changed, await _find(caller, "projects:write", projectId, write=True))


async def _changed(
    found: RepositoryConnection, claim: Claim | None, request: Request
) -> RepositoryConnection:
    patch_kind(request.headers.get("content-type"))

    async def again(_: Repeated) -> RepositoryConnection:
        return found

    return await at_most_once(claim, partial(_patched, found, claim, request), again)


async def _left(found: RepositoryConnection) -> RepositoryConnection:
    return found


async def _patched(
    found: RepositoryConnection, claim: Claim | None, request: Request
) -> RepositoryConnection:
    kind, expected = patch_kind(request.headers.get("content-type")), request_precondition(request)
    require(expected, current(CurrentInfo.model_validate(found)), found.updated_at)
    before = RepositoryConnectionInfo.model_validate(found).model_dump(mode="json", by_alias=True)
    content, fields = patched(before, kind, await request.json(), RepositoryChange)
    settings, keyring = request.app.state.settings, keyring_of(request.scope)
    if not fields:
        return await claiming(claim, partial(_left, found))
    if content.is_active:
        changed = await activate(found, settings, keyring, claim)
    else:
        changed = await deactivate(found, claim)
    if changed is None:
        raise Unavailable("other writers of this repository connection were faster")
    return changed


async def _to_delete(projectId: str, caller: Caller) -> Target:
    found = await _find(caller, "projects:write", projectId, write=True)
    return Target(ObjectId(found.id))


deletable(
    router,
    _PATH,
    RepositoryConnection,
    CurrentInfo.model_validate,
    job="sweeps its events",
    delete=Operation(
        "deleteRepository",
        PROJECT_ADMINS,
        _to_delete,
        "Disconnect a project from its repository",
        "Token and secret are erased at once; the webhook is removed by a job, even where the"
        " host is\ndown just now.",
        RECEIPT_SHOWN,
    ),
)


@router.get(
    f"{_PATH}/health",
    access=PROJECT_MEMBERS,
    operation_id="getRepositoryHealth",
    summary="How a connection is",
    responses=problems() | answers(HEALTH_SHOWN),
)
async def health(projectId: str, caller: Caller) -> HealthView:
    """By its latest probe and deliveries."""
    return HealthView.model_validate(await _find(caller, "projects:read", projectId))


@router.post(
    f"{_PATH}/rotate-secret",
    access=PROJECT_ADMINS,
    operation_id="rotateRepositorySecret",
    summary="Give the webhook a fresh secret",
    responses=problems(409) | answers(HEALTH_SHOWN),
)
async def rotate(
    projectId: str, caller: Caller, claim: IdempotencyClaim, request: Request
) -> HealthView:
    """For the project's admins. Deliveries signed with the one before are taken for a day more (a
    setting)."""
    found = await _find(caller, "projects:write", projectId, write=True)
    settings, keyring = request.app.state.settings, keyring_of(request.scope)

    async def again(_: Repeated) -> RepositoryConnection:
        return found

    done = await at_most_once(claim, partial(rotate_secret, found, settings, keyring, claim), again)
    return HealthView.model_validate(done)


@router.get(
    f"{_PATH}/events",
    access=PROJECT_MEMBERS,
    operation_id="listWebhookEvents",
    summary="List webhook deliveries",
    responses=problems() | page_of(EVENT_SHOWN),
)
async def list_events(
    projectId: str,
    caller: Caller,
    status: EventStatus | None = None,
    payload: Annotated[bool, Query(description="With their payloads.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[EventView]:
    """The newest first; kept for 30 days. Those of a repository that was replaced are not shown."""
    found = await _find(caller, "projects:read", projectId)
    after: Any = decode_cursor(cursor, datetime, ObjectId)
    events = await WebhookEvent.list_of(
        ObjectId(found.id), found.connected_at, limit + 1, status=status, after=after
    )
    items, following = page(events, limit, lambda event: (event.received_at, event.id))
    return Page(items=[_event_view(event, payload) for event in items], next_cursor=following)


@router.post(
    f"{_PATH}/events/{{eventId}}/redeliver",
    access=PROJECT_ADMINS,
    operation_id="redeliverWebhookEvent",
    summary="Process a webhook delivery once more",
    responses=problems(409) | answers(EVENT_SHOWN),
)
async def redeliver(projectId: str, eventId: str, caller: Caller, request: Request) -> EventView:
    """For the project's admins."""
    found = await _find(caller, "projects:write", projectId, write=True)
    where = {"_id": parse_id(eventId), "connectionId": found.id}
    row = await WebhookEvent.raw().find_one(where)
    if row is None:
        raise NotFound("there is no such event")
    done = await process_again(WebhookEvent.from_stored(row), request.app.state.settings)
    return _event_view(done, False)


def _event_view(event: WebhookEvent, payload: bool) -> EventView:
    view = EventView.model_validate(event)
    return view if payload else view.model_copy(update={"payload": None})


@router.post(
    "/v1/webhooks/{service}/{connectionId}",
    access=SIGNED,
    status_code=202,
    operation_id="takeWebhook",
    summary=f"Webhooks of {_HOSTS}",
    responses=problems(),
    openapi_extra=GIT_WEBHOOK,
)
async def take_webhook(
    service: str, connectionId: str, request: Request, _: Signed = None
) -> Taken:
    """Signed, or with its secret, as its host sends it. Stored before this is answered."""
    room, keyring = request.app.state.delivery_room, keyring_of(request.scope)
    source = neighbourhood(request.client.host if request.client else None)
    stored = await receive(
        service, parse_id(connectionId), request.headers, request.stream(), keyring, room, source
    )
    return Taken(id=PydanticObjectId(stored.id), duplicate=stored.duplicate)
