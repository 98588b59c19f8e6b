"""Routes of a person's sessions: see them, end one, end all others. And the audit trail, for
admins."""

from typing import Annotated, Any

from fastapi import Query, Request
from pymongo.asynchronous.client_session import AsyncClientSession

from app.auth.context import sign_in_of
from app.auth.examples import AUDIT_SHOWN, SESSION_SHOWN
from app.auth.schemas import AuditView, SessionView
from app.database import transaction
from app.errors import Invalid, NotFound
from app.identity.access import ADMIN, SESSIONS
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.web.openapi.answers import problems
from app.web.openapi.examples import page_of
from app.web.paging import Cursor, Limit, Page, newest
from app.web.routing import Router
from models.aside import read_all
from models.audit_event import AuditEvent, AuditKind
from models.base import parse_id
from models.refresh_token import RefreshToken

router = Router(prefix="/v1")


@router.get(
    "/auth/sessions",
    access=SESSIONS,
    operation_id="listSessions",
    summary="List my sessions",
    responses=problems() | page_of(SESSION_SHOWN),
    tags=["Sessions"],
)
async def list_sessions(caller: Caller) -> Page[SessionView]:
    """The newest first; never more than the device limit. A token of one app sees that app's
    alone."""
    found = [
        each
        for each in await RefreshToken.of_user(caller.id)
        if caller.app_id in (None, each.app_id)
    ]
    views = [SessionView.model_validate(each) for each in reversed(found)]
    return Page(
        items=[view.model_copy(update={"current": view.id == caller.session_id}) for view in views]
    )


@router.delete(
    "/auth/sessions",
    access=SESSIONS,
    status_code=204,
    operation_id="endOtherSessions",
    summary="End my other sessions",
    responses=problems(),
    tags=["Sessions"],
)
async def end_others(caller: Caller, request: Request) -> None:
    """Every session but the caller's; access tokens that servers asked for before now do nothing
    sensitive any more."""
    authorize(caller, "users:write", user_id=caller.id)
    await sign_in_of(request.scope).sessions.end_others(caller.id, caller.session_id)


@router.delete(
    "/auth/sessions/{sessionId}",
    access=SESSIONS,
    status_code=204,
    operation_id="endSession",
    summary="End one of my sessions",
    responses=problems(),
    tags=["Sessions"],
)
async def end_session(sessionId: str, caller: Caller) -> None:
    """Its refresh token is refused from now on, its access token at once for what is sensitive."""
    session_id = parse_id(sessionId)
    if session_id is None or (caller.app_id is not None and session_id != caller.session_id):
        raise NotFound("there is no such session")

    async def work(session: AsyncClientSession) -> None:
        if not await RefreshToken.end(session_id, caller.id, session=session):
            raise NotFound("there is no such session")

    await transaction(work)


def _sought(user_id: str | None, kind: AuditKind | None) -> dict[str, Any]:
    where: dict[str, Any] = {}
    if user_id is not None:
        if (subject := parse_id(user_id)) is None:
            raise Invalid.field("?userId", "malformed", "not a user's id")
        where["userId"] = subject
    if kind is not None:
        where["kind"] = kind
    return where


@router.get(
    "/admin/audit",
    access=ADMIN,
    operation_id="listAuditEvents",
    summary="What was done to identities, sessions, grants and keys",
    responses=problems() | page_of(AUDIT_SHOWN),
    tags=["Operation"],
)
async def list_audit_events(
    caller: Caller,
    user_id: Annotated[str | None, Query(alias="userId", max_length=64)] = None,
    kind: Annotated[AuditKind | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuditView]:
    """The newest first, kept for as long as `SATCHEL_AUDIT_DAYS` says."""
    authorize(caller, "admin")
    rows, following = await newest(AuditEvent, _sought(user_id, kind), limit, cursor)
    return Page(
        items=[AuditView.model_validate(each) for each in read_all(AuditEvent, rows)],
        next_cursor=following,
    )
