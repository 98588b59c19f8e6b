"""Routes of guests: one is made, and one is merged into the person who has signed in."""

from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

from bson import ObjectId
from fastapi import Request, Response
from fastapi.params import Body
from pydantic import Field

from app.apps.registry import app_registry
from app.auth.codes.budgets import client_of
from app.auth.context import sign_in_of
from app.auth.identities.guests import GONE, allow_guest, guest_of, make_guest, takes_guests
from app.auth.identities.pairs import pair_of
from app.auth.schemas import OnDevice, RefreshTokenText, TokenPair
from app.auth.sessions import Device
from app.errors import Invalid, NotFound
from app.identity.access import PUBLIC, SELF
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.relations.leases import leases
from app.relations.merging.commit import merge_people
from app.relations.merging.conflicts import Kind, chosen_by
from app.relations.receipts import Receipt, Started, receipt_of
from app.web.openapi.answers import problems
from app.web.routing import Router
from models.base import Fields
from models.deletion import Side

router = Router(prefix="/v1", tags=["Sign-in"])
_DEVICE: Final = Body(openapi_examples={"phone": {"value": {"deviceInfo": "Ann's phone"}}})
_MERGE: Final = Body(
    openapi_examples={"mine": {"value": {"guestToken": "rt_GUEST", "keep": "target"}}}
)


class GuestMerge(Fields):
    """A guest, and whose is kept where both have something."""

    guest_token: Annotated[
        RefreshTokenText, Field(repr=False, description="The guest's refresh token.")
    ]
    keep: Annotated[
        Side | dict[Kind, Side],
        Field(description="`target` (mine) or `source` (the guest's) for all, or by kind."),
    ] = Field(default_factory=dict)


@router.post(
    "/auth/guests",
    access=PUBLIC,
    status_code=201,
    operation_id="beginAsGuest",
    summary="Begin as a guest",
    responses=problems(),
)
async def begin_as_guest(
    request: Request, response: Response, body: Annotated[OnDevice | None, _DEVICE] = None
) -> TokenPair:
    """A user whom nobody knows, with a session. Send the refresh token as `guestToken` when they
    sign in, and what they have goes with them. 404 where this deployment takes no guests."""
    parts = sign_in_of(request.scope)
    if not takes_guests(parts.settings):
        raise NotFound("this deployment takes no guests")
    told = body or OnDevice()
    if told.app_id is not None:
        await app_registry(request.scope).settings_of(told.app_id)
    device = Device(told.device_info, told.app_id)
    async with AsyncExitStack() as undo:
        await parts.budgets.spend_guest(client_of(request), undo)
        user, begun, token = await make_guest(parts.sessions, device, parts.settings.guest_days)
        undo.pop_all()
    pair = pair_of(begun, token, user, request, response)
    return pair.model_copy(update={"created": True})


@router.post(
    "/users/me/guests",
    access=SELF,
    operation_id="mergeMyGuest",
    summary="Take over what I have as a guest",
    responses=problems(400, 409)
    | {202: {"description": "Merged; a job moves the rest", "model": Started}},
    response_model=Receipt | Started,
)
async def merge_my_guest(
    body: Annotated[GuestMerge, _MERGE], caller: Caller, request: Request, response: Response
) -> Any:
    """For whoever has signed in and was told `kept`: everything of the guest becomes mine. 409
    `merge_conflict` names what both have; send `keep`."""
    authorize(caller, "users:write", user_id=caller.id)
    guest = await guest_of(sign_in_of(request.scope).sessions, body.guest_token)
    if guest is None or guest == caller.id:
        raise Invalid.field("/guestToken", "refused", GONE)
    state = request.app.state

    ledger = await merge_people(
        guest,
        ObjectId(caller.id),
        chosen_by(body.keep),
        caller.name,
        state.settings,
        state.hooks,
        allowed=allow_guest,
    )
    leases(request.scope).drop(guest)
    if ledger.swept:
        return await receipt_of(ledger)
    response.status_code = 202
    response.headers["Location"] = f"/v1/users/{guest}/deletion"
    return Started(job_id=str(guest))
