"""Routes of joins: those that wait for a decision, the decision, and taking one back that was wrong."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from beanie import PydanticObjectId
from fastapi import APIRouter, Query
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from app.analytics.undo import UNDO
from app.cursors import decode_cursor
from app.database import transaction
from app.errors import BadTransition, Invalid, NotFound
from app.examples import JOIN, answers, page_of
from app.http import Cursor, Limit, Page, StrictRoute, page, problems
from app.principal import Caller, authorize, spare_admins
from models.analytics import PersonId
from models.app import AppId
from models.base import Fields, Raw, Timestamp, now
from models.external_id import ExternalId
from models.job import Job
from models.person import IdentityJoin, JoinState, key_rows

router = APIRouter(prefix="/v1/analytics/joins", route_class=StrictRoute, tags=["Analytics"])
_SHOWN: Final = {
    "appId": "notes",
    "anonymousId": "kiosk-1",
    "toUserId": "691f0c0ffee691f0c0ffee69",
    "state": "aside",
    "ids": 101,
    "createdAt": "2026-11-20T08:30:00.125Z",
}


class JoinBody(Fields):
    """A join by the id that was joined: either of the two."""

    app_id: AppId
    anonymous_id: PersonId | None = None
    external_id: PersonId | None = None

    @property
    def key(self) -> str:
        """The key of the id.

        Raises:
            Invalid: there is none, or there are two.
        """
        if (self.anonymous_id is None) == (self.external_id is None):
            raise Invalid.field("/anonymousId", "conflicting", "name anonymousId or externalId, one of them")
        kind = f"a:{self.anonymous_id}" if self.external_id is None else f"e:{self.external_id}"
        return f"{self.app_id}/{kind}"


class JoinView(Fields):
    """A join: which id was said to be whom, a user or one more external id; and `ids`, how many would be one person."""

    app_id: str
    anonymous_id: str | None = None
    external_id: str | None = None
    to_user_id: str | None = None
    to_external_id: str | None = None
    state: Literal["due", "aside", "refused", "joined", "undoing", "undone"]
    ids: int | None = None
    created_at: Timestamp

    @classmethod
    def of(cls, join: IdentityJoin) -> Self:
        """A stored join as it is shown."""
        own = key_rows(join.app_id, join.id)
        return cls(
            app_id=join.app_id,
            anonymous_id=own.get("anonymousId"),
            external_id=own.get("externalId"),
            to_user_id=None if join.user_id is None else str(join.user_id),
            to_external_id=join.external_id,
            state=join.state or ("due" if join.due else "joined"),
            ids=join.ids,
            created_at=join.created_at,
        )


@router.get("", operation_id="listJoins", summary="List joins of ids", responses=problems() | page_of(_SHOWN))
async def list_joins(
    caller: Caller,
    app_id: Annotated[AppId | None, Query(alias="appId", description="The key's app if absent.")] = None,
    state: Annotated[JoinState, Query(description="`aside`: those that wait for a decision.")] = "aside",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[JoinView]:
    """Joins of an app by their ids: which id was said to be whom, and how many ids would be one person."""
    app_id = app_id or caller.app_id
    if app_id is None:
        raise Invalid.field("?appId", "missing", "name an app")
    authorize(caller, "analytics:read", app_id=app_id)
    after = decode_cursor(cursor, str)
    found = await IdentityJoin.page(app_id, state, limit + 1, after[0] if after else None)
    items, following = page(found, limit, lambda join: (join.id,))
    return Page(items=[JoinView.of(item) for item in items], next_cursor=following)


@router.post("/accept", operation_id="acceptJoin", summary="Accept a join", responses=problems(409) | answers(_SHOWN))
async def accept_join(body: Annotated[JoinBody, JOIN], caller: Caller) -> JoinView:
    """One that was set aside, or refused, is carried out however many ids it makes one person. Once is enough."""
    change = {"$set": {"accepted": True, "due": True}, "$unset": {"state": ""}}
    return await _once(
        body, caller, lambda join: bool(join.accepted) and join.state in (None, "joined"), ("aside", "refused"), change
    )


@router.post("/refuse", operation_id="refuseJoin", summary="Refuse a join", responses=problems(409) | answers(_SHOWN))
async def refuse_join(body: Annotated[JoinBody, JOIN], caller: Caller) -> JoinView:
    """One that was set aside is not carried out; what is said of the id later is not heeded. Once is enough."""
    change = {"$set": {"state": "refused"}}
    return await _once(body, caller, lambda join: join.state == "refused", ("aside",), change)


@router.post("/undo", operation_id="undoJoin", summary="Undo a join", responses=problems(409) | answers(_SHOWN))
async def undo_join(body: Annotated[JoinBody, JOIN], caller: Caller) -> JoinView:
    """Raw events that the id lost by a join are its own again, soon, and their days are counted anew. It is final."""
    is_undone = {"undoing", "undone"}
    join = await _found(body, caller)
    own = key_rows(join.app_id, join.id)
    is_linked = "externalId" in own and await ExternalId.raw().find_one({**own}, {"_id": 1}) is not None
    if is_linked and join.state not in is_undone:
        raise BadTransition("an external id that was linked to a user stays linked")
    change = {"$set": {"state": "undoing", "due": True}}
    return await _once(body, caller, lambda join: join.state in is_undone, ("joined",), change, UNDO)


async def _once(
    body: JoinBody,
    caller: Caller,
    is_done: Callable[[IdentityJoin], bool],
    before: tuple[JoinState, ...],
    change: Mapping[str, Any],
    job: str | None = None,
) -> JoinView:
    """Decide, unless that was done; who was overtaken looks again, for the other may have decided the same."""
    join = await _found(body, caller)
    if is_done(join):
        return JoinView.of(join)
    try:
        return JoinView.of(await _decided(join, before, change, job))
    except BadTransition:
        join = await _found(body, caller)
        if is_done(join):
            return JoinView.of(join)
        raise


async def _found(body: JoinBody, caller: Caller) -> IdentityJoin:
    authorize(caller, "users:write", app_id=body.app_id)
    join = await IdentityJoin.find_by_id(body.key)
    if join is None:
        raise NotFound("nothing was said of this id")
    await spare_admins(caller, join.user_id)
    return join


async def _decided(
    join: IdentityJoin, before: tuple[JoinState, ...], change: Mapping[str, Any], job: str | None = None
) -> IdentityJoin:
    """Change a join that is in one of these states, and have a job done about it, all at once.

    Raises:
        BadTransition: it is in another, or is about to be carried out.
    """
    same: Raw = {"_id": join.id, "state": {"$in": list(before)}, "due": None, "userId": join.user_id}
    update: Raw = {**change, "$set": {**change["$set"], "updatedAt": now()}, "$inc": {"version": 1}}

    async def decide(session: AsyncClientSession) -> Raw | None:
        after = ReturnDocument.AFTER
        row: Raw | None = await IdentityJoin.raw().find_one_and_update(
            same, update, return_document=after, session=session
        )
        if row is not None and job is not None:
            await Job(id=PydanticObjectId(), kind=job, run_at=now()).add(session)
        return row

    row = await transaction(decide)
    if row is None:
        raise BadTransition(f"this join is not {' or '.join(before)}")
    return IdentityJoin.from_stored(row)
