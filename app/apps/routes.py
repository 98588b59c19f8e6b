"""Routes of client apps: their settings."""

from functools import partial
from typing import Annotated

from fastapi import Request, Response

from app.apps.examples import APP, APP_SHOWN, SCHEMA_CHECK
from app.apps.json_schema_check import CHECKED_SHOWN, SchemaCheck, SchemaChecked, check_stored
from app.apps.queries import STATES_SHOWN, QueryStates, query_states
from app.apps.registry import app_registry
from app.apps.schemas import AppReplacement, AppView
from app.apps.settings import find_app, put_app
from app.identity.access import ADMIN
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.web.documents import Shown, readable
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim, Repeated, write_once
from app.web.openapi.answers import problems
from app.web.openapi.examples import answers
from app.web.paging import Cursor, Limit
from app.web.preconditions import request_precondition
from app.web.routing import Router
from models.app import AppId

router = Router(prefix="/v1/apps", tags=["Apps"])


@readable(
    router,
    "/{appId}",
    AppView,
    access=ADMIN,
    operation_id="getApp",
    summary="Get an app's settings",
    shown=APP_SHOWN,
)
async def _get(appId: AppId, caller: Caller) -> Shown:
    """The settings of a registered app."""
    authorize(caller, "admin", app_id=appId)
    view = await find_app(appId)
    return Shown(view, view.version)


@router.put(
    "/{appId}",
    access=ADMIN,
    operation_id="putApp",
    summary="Register an app, or replace its settings",
    responses=problems(412) | {201: {"model": AppView, "description": "Registered"}},
)
async def put(
    appId: AppId,
    content: Annotated[AppReplacement, APP],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> AppView:
    """What is left out goes back to its default. Other processes follow within a few seconds (a
    setting)."""
    authorize(caller, "admin", app_id=appId)

    async def again(done: Repeated) -> tuple[AppView, bool]:
        return await find_app(appId), done.status == 201

    work = partial(put_app, appId, content, request_precondition(request))
    view, created = await write_once(claim, work, again, lambda made: 201 if made[1] else 200)
    app_registry(request.scope).forget(appId)
    response.status_code = 201 if created else 200
    response.headers["ETag"] = etag(view.version, view.id)
    return view


@router.get(
    "/{appId}/queries",
    access=ADMIN,
    operation_id="getAppQueries",
    summary="Get which queries are built",
    responses=problems() | answers(STATES_SHOWN),
)
async def get_queries(appId: AppId, caller: Caller) -> QueryStates:
    """Which of the queries that the app's settings declare are built, and can be asked."""
    authorize(caller, "admin", app_id=appId)
    return await query_states(appId)


@router.post(
    "/{appId}/schemas/check",
    access=ADMIN,
    operation_id="checkAppSchemas",
    summary="Try schemas on what is stored",
    responses=problems() | answers(CHECKED_SHOWN),
)
async def check(
    appId: AppId,
    content: Annotated[SchemaCheck, SCHEMA_CHECK],
    caller: Caller,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> SchemaChecked:
    """Which stored values would not fit the schemas that are sent, or without any those of the app
    as they are.

    Nothing is written. A page looks at `limit` values, fewer where they are large: follow
    `nextCursor` until it is null, with the same schemas.
    """
    authorize(caller, "admin", app_id=appId)
    return await check_stored(appId, content, limit, cursor)
