"""How a deletion is answered: its plan, its receipt, and where to look while a job goes on."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

from beanie import PydanticObjectId
from bson import ObjectId
from fastapi import Request, Response
from pydantic import BaseModel, Field
from pymongo.asynchronous.client_session import AsyncClientSession

from app.identity.caller import refuse_admin, speaks_for_admins
from app.identity.principal import Principal
from app.relations.delete import delete_root
from app.relations.leases import leases
from app.relations.plan import Plan
from app.relations.take import cascades
from app.web.openapi.answers import problems
from app.web.openapi.examples import answers
from app.web.preconditions import request_precondition
from models.account import Account
from models.base import Fields, Raw, Stored, Timestamp
from models.deletion import Deletion
from models.outside_link import OutsideLink
from models.spending_profile import SpendingProfile
from models.user import ADMINS, User, administers

D = TypeVar("D", bound=Stored)
_SHOWN_AS_JOBS: Final = (User, Account, SpendingProfile)  # to admins


class DeletionPlan(Fields):
    """What a deletion would do."""

    id: PydanticObjectId
    deleted: Annotated[
        dict[str, int], Field(description="Documents that would go, per collection.")
    ]
    nulled: Annotated[
        dict[str, int], Field(description="Documents that would lose their reference.")
    ]
    blockers: Annotated[list[dict[str, Any]], Field(description="What forbids it, and why.")]


class Receipt(Fields):
    """What a deletion did. `final` once the sweep after the fence has found nothing more.

    `swept` is there, and false, only while a job goes on: the counts are those so far.
    """

    id: PydanticObjectId
    deleted: dict[str, int]
    nulled: dict[str, int]
    into: Annotated[
        PydanticObjectId | None,
        Field(
            exclude_if=lambda into: into is None,
            description="Of a merge: the user whom this one was merged into.",
        ),
    ] = None
    moved: Annotated[
        dict[str, int],
        Field(
            exclude_if=lambda moved: not moved,
            description="Of a merge: documents that became the other's.",
        ),
    ] = Field(default_factory=dict)
    at: Timestamp
    final: bool
    outside_links: Annotated[
        int,
        Field(
            exclude_if=lambda count: not count,
            description=(
                "Links to outside systems (bank logins, webhooks) that a job is removing there."
            ),
        ),
    ] = 0
    swept: Annotated[
        bool, Field(exclude_if=bool, description="Only while it is false: a job goes on.")
    ] = True


class Started(Fields):
    """A deletion whose sweep goes on as a job."""

    job_id: str


def plan_view(root_id: ObjectId, plan: Plan) -> DeletionPlan:
    """A plan as sent: collections with something to do."""
    return DeletionPlan(
        id=PydanticObjectId(root_id),
        deleted={name: count for name, count in plan.delete.items() if count},
        nulled=plan.nulled,
        blockers=plan.blockers,
    )


async def receipt_of(ledger: Deletion) -> Receipt:
    """The receipt that the ledger's entry makes, with what is still to be done outside."""
    return Receipt(
        id=ledger.id,
        deleted=ledger.deleted,
        nulled=ledger.nulled,
        into=ledger.into,
        moved=ledger.moved or {},
        at=ledger.at,
        final=ledger.final,
        outside_links=await OutsideLink.count_of(ledger.id),
        swept=ledger.swept,
    )


def deleted(job: str, receipt: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of what a deletion answers, by what a job does after it and an example
    of the receipt."""
    return (
        problems(409, 412)
        | {202: {"description": f"Deleted; a job {job}", "model": Started}}
        | answers(receipt)
    )


async def delete_and_answer(
    root: type[D],
    root_id: ObjectId,
    caller: Principal,
    request: Request,
    response: Response,
    view: Callable[[D], BaseModel],
    where: Raw | None = None,
) -> Receipt | Started:
    """Delete a document for a caller: 200 with the receipt, or 202 with where it will be while a
    job goes on.

    Raises:
        NotFound, VersionMismatch, Restricted: as `delete_root`; the precondition is the request's.
        Forbidden: an admin would be deleted, and the caller is none.
    """
    expected, state = request_precondition(request), request.app.state

    async def allowed(row: Raw, session: AsyncClientSession) -> None:
        if not speaks_for_admins(caller):
            refuse_admin(caller, await _takes_an_admin(root, row, session))

    ledger = await delete_root(
        root,
        root_id,
        caller.name,
        state.settings,
        state.hooks,
        where=where,
        expected=expected,
        shown=lambda document: view(document).model_dump(mode="json", by_alias=True),
        allowed=allowed,
    )
    leases(request.scope).drop(root_id)
    if ledger.swept:
        return await receipt_of(ledger)
    response.status_code = 202
    response.headers["Location"] = _place_of(root, root_id, caller)
    return Started(job_id=str(root_id))


async def _takes_an_admin(root: type[Stored], row: Raw, session: AsyncClientSession) -> bool:
    """Whether an admin goes with a document: as the document itself, or among the users that go
    with it."""
    if root is User:
        return administers(row)
    for relation in cascades(root):
        for admins in ADMINS if relation.child is User else ():
            where = {relation.stored: row["_id"], **admins}
            if await User.raw().find_one(where, {"_id": 1}, session=session) is not None:
                return True
    return False


def _place_of(root: type[Stored], root_id: ObjectId, caller: Principal) -> str:
    """Where the caller sees how far a deletion is."""
    if caller.is_admin and root in _SHOWN_AS_JOBS:
        return f"/v1/admin/jobs/{root_id}"
    return f"/v1/users/{root_id}/deletion" if root is User else f"/v1/deletions/{root_id}"
