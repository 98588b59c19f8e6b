"""Routes of merging two people: the plan, and the merge."""

from typing import Annotated, Any, Final

from beanie import PydanticObjectId
from bson import ObjectId
from fastapi import Query, Request, Response
from fastapi.params import Body
from pydantic import Field

from app.errors import Invalid
from app.identity.access import keys
from app.identity.caller import Caller, refuse_admin
from app.identity.principal import Principal, authorize
from app.relations.leases import leases
from app.relations.merging.commit import merge_people
from app.relations.merging.conflicts import Keep, Kind, chosen_by
from app.relations.merging.plan import plan_merge
from app.relations.receipts import Receipt, Started, receipt_of
from app.web.openapi.answers import problems
from app.web.openapi.examples import ID, RECEIPT_SHOWN, answers
from app.web.routing import Router
from models.base import Fields, Raw, Reference, parse_id
from models.deletion import Side
from models.user import administers

router = Router(prefix="/v1/users/{userId}", tags=["Users"])
_OTHER: Final = "691f0c0ffee691f0c0ffee70"
_CHOSEN: Final = {
    "appData": "source",
    "email": "target",
    "profile": "target",
    "user": "target",
}
_BODY: Final = Body(
    openapi_examples={
        "all": {"value": {"into": ID, "keep": "target"}},
        "byKind": {"value": {"into": ID, "keep": _CHOSEN}},
    }
)
_MOVED: Final = {"appdata": 12, "authidentities": 1}
_WENT: Final = {"users": 1, "profiles": 1, "preferences": 1, "refreshtokens": 1}
PLAN_SHOWN: Final[dict[str, Any]] = {
    "id": _OTHER,
    "into": ID,
    "moved": _MOVED,
    "deleted": _WENT,
    "conflicts": [{"kind": "appData", "appId": "notes", "dataKey": "settings"}],
    "blockers": [],
}
SHOWN: Final = {**RECEIPT_SHOWN, "id": _OTHER, "into": ID, "moved": _MOVED, "deleted": _WENT}


class MergeConflictView(Fields):
    """Something that both have and of which one can have one: `keep` chooses by its kind."""

    kind: Kind
    field: Annotated[
        str | None, Field(description="Of the user, the profile or the preferences.")
    ] = None
    app_id: str | None = None
    data_key: str | None = None
    project_id: PydanticObjectId | None = None


class MergePlanView(Fields):
    """What a merge would do."""

    id: PydanticObjectId
    into: PydanticObjectId
    moved: Annotated[dict[str, int], Field(description="Documents that would become the other's.")]
    deleted: Annotated[dict[str, int], Field(description="Documents that would go.")]
    conflicts: Annotated[
        list[MergeConflictView],
        Field(description="What both have; of app data the first thousand keys."),
    ]
    blockers: Annotated[list[dict[str, Any]], Field(description="What forbids it, and why.")]


class MergeBody(Fields):
    """Into whom, and whose is kept where both have something."""

    into: Reference
    keep: Annotated[
        Side | dict[Kind, Side],
        Field(
            description=(
                "`target` or `source` for all, or by kind. What both have and is not chosen is 409."
            )
        ),
    ] = Field(default_factory=dict)


@router.get(
    "/merge-plan",
    access=keys("users:merge"),
    operation_id="planUserMerge",
    summary="What merging a user into another would do",
    responses=problems(400, 410) | answers(PLAN_SHOWN),
)
async def plan(
    userId: str,
    caller: Caller,
    into: Annotated[str, Query(max_length=64, description="Id of the user who stays.")],
) -> MergePlanView:
    """Counts per collection, what both have, and what forbids it. Nothing is changed."""
    authorize(caller, "users:merge")
    source_id, target_id = caller.resolve(userId), parse_id(into)
    if target_id is None:
        raise Invalid.field("?into", "malformed", "not a user's id")
    found = await plan_merge(source_id, target_id)
    conflicts = [MergeConflictView.model_validate(each) for each in found.conflicts]
    return MergePlanView(
        id=PydanticObjectId(source_id),
        into=PydanticObjectId(target_id),
        moved=found.moved,
        deleted=found.deleted,
        conflicts=conflicts,
        blockers=found.blockers,
    )


@router.post(
    "/merge",
    access=keys("users:merge"),
    operation_id="mergeUser",
    summary="Merge a user into another",
    responses=problems(400, 409, 410)
    | {202: {"description": "Merged; a job moves the rest", "model": Started}}
    | answers(SHOWN),
    response_model=Receipt | Started,
)
async def merge(
    userId: str,
    body: Annotated[MergeBody, _BODY],
    caller: Caller,
    request: Request,
    response: Response,
) -> Any:
    """From the answer on the user is gone, and what was theirs is the other's or becomes it by a
    job. Values of app data become new versions; sessions of the one who is gone end. 409
    `merge_conflict` names all that both have, and nothing was changed: send `keep`."""
    authorize(caller, "users:merge")
    return await merge_and_answer(
        caller.resolve(userId), ObjectId(body.into), chosen_by(body.keep), caller, request, response
    )


async def merge_and_answer(
    source_id: ObjectId,
    target_id: ObjectId,
    keep: Keep,
    caller: Principal,
    request: Request,
    response: Response,
) -> Receipt | Started:
    """Merge for a caller: 200 with the receipt, or 202 with where it will be."""
    state = request.app.state

    def allowed(source: Raw, target: Raw) -> None:
        refuse_admin(caller, administers(source) or administers(target))

    ledger = await merge_people(
        source_id, target_id, keep, caller.name, state.settings, state.hooks, allowed=allowed
    )
    for user_id in (source_id, target_id):
        leases(request.scope).drop(user_id)
    if ledger.swept:
        return await receipt_of(ledger)
    response.status_code = 202
    response.headers["Location"] = f"/v1/users/{source_id}/deletion"
    return Started(job_id=str(source_id))
