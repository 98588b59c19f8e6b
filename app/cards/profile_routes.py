"""Routes of spending profiles."""

from functools import partial
from typing import Annotated, Any

from bson import ObjectId
from fastapi import Response

from app.accounts.access import READ, WRITE, Reach, reach
from app.cards.examples import (
    PROFILE_PLAN_SHOWN,
    PROFILE_RECEIPT_SHOWN,
    PROFILE_SHOWN,
    SPENDING_PROFILE,
)
from app.cards.profiles import create_profile, find_profile, patch_profile
from app.cards.queries import profiles_held
from app.errors import NotFound
from app.identity.access import MEMBERS, keys
from app.identity.caller import Caller
from app.relations.deletable import Operation, Target, deletable
from app.shown.documents import SpendingProfileView, profile_view
from app.shown.expanding import expand_query
from app.web.documents import Change, Shown, by_patch, changeable, readable
from app.web.etags import etag
from app.web.idempotency import IdempotencyClaim
from app.web.openapi.answers import problems
from app.web.openapi.examples import page_of
from app.web.openapi.patch_bodies import patches
from app.web.paging import Cursor, Limit, Page, newest
from app.web.routing import Router
from models.aside import read_all
from models.base import parse_id
from models.spending_profile import SpendingProfile, SpendingProfileContent

router = Router(prefix="/v1/accounts/{accountId}/spending-profiles", tags=["Spending profiles"])
Expand = Annotated[str | None, expand_query(SpendingProfile, SpendingProfileView)]


@router.post(
    "",
    access=keys("accounts:write"),
    status_code=201,
    operation_id="createSpendingProfile",
    summary="Create a spending profile",
    responses=problems(409),
)
async def create(
    accountId: str,
    content: Annotated[SpendingProfileContent, SPENDING_PROFILE],
    caller: Caller,
    claim: IdempotencyClaim,
    response: Response,
) -> SpendingProfileView:
    """The account must be active."""
    reached = await reach(caller, WRITE, accountId)
    done = await create_profile(reached.account_id, content, claim)
    profile = await find_profile({"_id": done.resource_id})
    response.headers["Location"] = (
        f"/v1/accounts/{reached.account_id}/spending-profiles/{profile.id}"
    )
    response.headers["ETag"] = etag(profile.version, profile.id)
    return profile_view(profile)


@router.get(
    "",
    access=MEMBERS,
    operation_id="listSpendingProfiles",
    summary="List the spending profiles of an account",
    responses=problems() | page_of(PROFILE_SHOWN),
)
async def list_profiles(
    accountId: str,
    caller: Caller,
    expand: Expand = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SpendingProfileView]:
    """The newest first. The account's users see those on their cards."""
    reached = await reach(caller, READ, accountId, by_users=True)
    embedded = reached.expansion(expand, SpendingProfile)
    where: dict[str, Any] = {"accountId": reached.account_id}
    if reached.holder is not None:
        where["_id"] = {"$in": await profiles_held(reached.account_id, reached.holder)}
    rows, following = await newest(SpendingProfile, where, limit, cursor)
    views = [profile_view(each) for each in read_all(SpendingProfile, rows)]
    return Page(items=await embedded.fill_all(views), next_cursor=following)


@readable(
    router,
    "/{profileId}",
    SpendingProfileView,
    access=MEMBERS,
    operation_id="getSpendingProfile",
    summary="Get a spending profile",
    shown=PROFILE_SHOWN,
)
async def _get(accountId: str, profileId: str, caller: Caller, expand: Expand = None) -> Shown:
    """By keys, and by users who have it on a card. With `expand` there is no ETag."""
    reached = await reach(caller, READ, accountId, by_users=True)
    embedded = reached.expansion(expand, SpendingProfile)
    profile = profile_view(await find_profile(await _where(reached, profileId)))
    if not expand:
        return Shown(profile, profile.version)
    return Shown(await embedded.fill_one(profile), profile.version, is_whole=False)


@changeable(
    router,
    "/{profileId}",
    SpendingProfileView,
    access=keys("accounts:write"),
    operation_id="patchSpendingProfile",
    summary="Change a spending profile",
    patches=patches(
        SpendingProfileContent,
        {"limits": {"MONTHLY": 250000}},
        [{"op": "add", "path": "/limits/MONTHLY", "value": 250000}],
    ),
)
async def _patch(accountId: str, profileId: str, caller: Caller) -> Change:
    """By JSON Merge Patch or JSON Patch. `affectedCards` counts the cards whose limits this
    changes."""
    reached = await reach(caller, WRITE, accountId)
    return by_patch(partial(patch_profile, reached.account_id, _id_of(profileId)))


async def _to_delete(accountId: str, profileId: str, caller: Caller) -> Target:
    reached = await reach(caller, WRITE, accountId)
    return Target(_id_of(profileId), {"accountId": reached.account_id})


async def _to_plan(accountId: str, profileId: str, caller: Caller) -> Target:
    reached = await reach(caller, READ, accountId)
    profile = await find_profile(await _where(reached, profileId))
    return Target(ObjectId(str(profile.id)))


deletable(
    router,
    "/{profileId}",
    SpendingProfile,
    profile_view,
    job="releases its cards",
    delete=Operation(
        "deleteSpendingProfile",
        keys("accounts:write"),
        _to_delete,
        "Delete a spending profile",
        "Its cards stay, and fall back to limits of their own. 200 with the receipt, or 202 where"
        " they\nare many.",
        PROFILE_RECEIPT_SHOWN,
    ),
    plan=Operation(
        "planSpendingProfileDeletion",
        keys("accounts:read"),
        _to_plan,
        "What deleting a spending profile would do",
        "How many cards would lose it.",
        PROFILE_PLAN_SHOWN,
    ),
)


async def _where(reached: Reach, profile: str) -> dict[str, Any]:
    """The filter on the profile that a path names, which matches only what the caller reaches."""
    profile_id = _id_of(profile)
    if reached.holder is not None and profile_id not in await profiles_held(
        reached.account_id, reached.holder
    ):
        raise NotFound("there is no such spending profile")
    return {"_id": profile_id, "accountId": reached.account_id}


def _id_of(profile: str) -> ObjectId:
    profile_id = parse_id(profile)
    if profile_id is None:
        raise NotFound("there is no such spending profile")
    return profile_id
