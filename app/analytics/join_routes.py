"""Routes of joins: those that wait for a decision, the decision, and taking one back that was
wrong."""

from functools import partial
from typing import Annotated, Final, Literal, Self

from fastapi import Query

from app.analytics.decisions import ACCEPT, REFUSE, UNDO, decide
from app.analytics.examples import JOIN
from app.errors import Invalid, NotFound
from app.identity.access import keys
from app.identity.caller import Caller, spare_admins
from app.identity.principal import authorize
from app.web.cursors import decode_cursor
from app.web.openapi.answers import problems
from app.web.openapi.examples import answers, page_of
from app.web.paging import Cursor, Limit, Page, page
from app.web.routing import Router
from models.analytics import PersonId
from models.app import AppId
from models.base import Fields, Timestamp
from models.person import IdentityJoin, JoinState, key_rows

router = Router(prefix="/v1/analytics/joins", tags=["Analytics"])
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
            raise Invalid.field(
                "/anonymousId", "conflicting", "name anonymousId or externalId, one of them"
            )
        kind = f"a:{self.anonymous_id}" if self.external_id is None else f"e:{self.external_id}"
        return f"{self.app_id}/{kind}"


class JoinView(Fields):
    """A join: which id was said to be whom, a user or one more external id; and `ids`, how many
    would be one person."""

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


@router.get(
    "",
    access=keys("analytics:read"),
    operation_id="listJoins",
    summary="List joins of ids",
    responses=problems() | page_of(_SHOWN),
)
async def list_joins(
    caller: Caller,
    app_id: Annotated[
        AppId | None, Query(alias="appId", description="The key's app if absent.")
    ] = None,
    state: Annotated[
        JoinState, Query(description="`aside`: those that wait for a decision.")
    ] = "aside",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[JoinView]:
    """Joins of an app by their ids: which id was said to be whom, and how many ids would be one
    person."""
    app_id = app_id or caller.app_id
    if app_id is None:
        raise Invalid.field("?appId", "missing", "name an app")
    authorize(caller, "analytics:read", app_id=app_id)
    after = decode_cursor(cursor, str)
    found = await IdentityJoin.page(app_id, state, limit + 1, after[0] if after else None)
    items, following = page(found, limit, lambda join: (join.id,))
    return Page(items=[JoinView.of(item) for item in items], next_cursor=following)


@router.post(
    "/accept",
    access=keys("users:write"),
    operation_id="acceptJoin",
    summary="Accept a join",
    responses=problems(409) | answers(_SHOWN),
)
async def accept_join(body: Annotated[JoinBody, JOIN], caller: Caller) -> JoinView:
    """One that was set aside, or refused, is carried out however many ids it makes one person. Once
    is enough."""
    return JoinView.of(await decide(partial(_found, body, caller), ACCEPT))


@router.post(
    "/refuse",
    access=keys("users:write"),
    operation_id="refuseJoin",
    summary="Refuse a join",
    responses=problems(409) | answers(_SHOWN),
)
async def refuse_join(body: Annotated[JoinBody, JOIN], caller: Caller) -> JoinView:
    """One that was set aside is not carried out; what is said of the id later is not heeded. Once
    is enough."""
    return JoinView.of(await decide(partial(_found, body, caller), REFUSE))


@router.post(
    "/undo",
    access=keys("users:write"),
    operation_id="undoJoin",
    summary="Undo a join",
    responses=problems(409) | answers(_SHOWN),
)
async def undo_join(body: Annotated[JoinBody, JOIN], caller: Caller) -> JoinView:
    """Raw events that the id lost by a join are its own again, soon, and their days are counted
    anew. It is final."""
    return JoinView.of(await decide(partial(_found, body, caller), UNDO))


async def _found(body: JoinBody, caller: Caller) -> IdentityJoin:
    authorize(caller, "users:write", app_id=body.app_id)
    join = await IdentityJoin.find_by_id(body.key)
    if join is None:
        raise NotFound("nothing was said of this id")
    await spare_admins(caller, join.user_id)
    return join
