"""Routes by which a person signs in and out, and keeps signed in."""

from typing import Annotated

from bson import ObjectId
from fastapi import Request, Response

from app.apps.registry import app_registry
from app.auth.challenges import challenge_view
from app.auth.codes.budgets import client_of
from app.auth.codes.otp import email_recipient, phone_recipient
from app.auth.context import sign_in_of
from app.auth.examples import LOGOUT, OIDC, OTP, OTP_VERIFY, REFRESH
from app.auth.identities.guests import allow_guest, guest_of
from app.auth.identities.linking import CODE_REFUSED, evidence_of
from app.auth.identities.pairs import pair_of
from app.auth.identities.signing_in import SignedIn, sign_in
from app.auth.schemas import (
    Challenge,
    CodeRequest,
    GuestOutcome,
    LogoutRequest,
    OidcRequest,
    OnDevice,
    RefreshRequest,
    TokenPair,
    VerifyRequest,
    WithGuest,
)
from app.auth.sessions import Device
from app.database.turns import turn
from app.errors import MergeConflict, Problem, Unauthenticated
from app.identity.access import PUBLIC
from app.identity.caller import authenticate, live
from app.identity.standing import AT_REST
from app.relations.leases import leases
from app.relations.merging.commit import merge_people
from app.users.service import find_user
from app.web.observability.measures import REFRESHES_REFUSED, SIGN_INS
from app.web.openapi.answers import problems
from app.web.routing import Router
from models.phone_otp import PhoneOtp
from models.refresh_token import RefreshToken
from models.user import INACTIVE

router = Router(prefix="/v1/auth", tags=["Sign-in"])


@router.post(
    "/otp",
    access=PUBLIC,
    status_code=202,
    operation_id="sendCode",
    summary="Send a one-time code",
    responses=problems(),
)
async def send_code(body: Annotated[CodeRequest, OTP], request: Request) -> Challenge:
    """To a phone or an email address; the answer is the same whether anybody signs in by it or not.

    Each request is a challenge of its own with five tries. Another one of the same client within a
    minute is 429.
    """
    if body.phone_number is not None:
        recipient = phone_recipient(body.phone_number)
    else:
        recipient = email_recipient(body.email or "")
    parts = sign_in_of(request.scope)
    requester = await parts.devices.requester(body.device_token, recipient, client_of(request))
    return challenge_view(parts, await parts.codes.send(recipient, "sign_in", requester))


@router.post(
    "/otp/verify",
    access=PUBLIC,
    operation_id="verifyCode",
    summary="Sign in by a code",
    responses=problems(),
)
async def verify_code(
    body: Annotated[VerifyRequest, OTP_VERIFY], request: Request, response: Response
) -> TokenPair:
    """The first sign-in makes the user. A code is good once; 401 says no more than that it is not
    good."""
    parts, device = sign_in_of(request.scope), await _device(body, request)
    async with parts.refusing(client_of(request), "code"), turn(PhoneOtp, body.challenge_id):
        challenge = await parts.codes.check(body.challenge_id, body.code, "sign_in")
        if challenge is None:
            raise Unauthenticated(CODE_REFUSED)
        evidence = evidence_of(challenge)
        guest = await guest_of(parts.sessions, body.guest_token)
        done = await sign_in(
            parts.settings, parts.sessions, evidence, device, challenge, guest=guest
        )
    await parts.codes.settle(challenge)
    SIGN_INS.labels("code").inc()
    return await _with_guest(done, body, guest, request, response)


@router.post(
    "/oidc/{provider}",
    access=PUBLIC,
    operation_id="signInByIdToken",
    summary="Sign in by an ID token",
    responses=problems(),
)
async def sign_in_by_id_token(
    provider: str, body: Annotated[OidcRequest, OIDC], request: Request, response: Response
) -> TokenPair:
    """Of Google, Facebook, or any other OpenID Connect provider that is configured."""
    parts, device = sign_in_of(request.scope), await _device(body, request)
    async with parts.refusing(client_of(request), provider):
        evidence = await parts.oidc.verify(provider, body.id_token, body.nonce)
        guest = await guest_of(parts.sessions, body.guest_token)
        done = await sign_in(parts.settings, parts.sessions, evidence, device, guest=guest)
    SIGN_INS.labels(provider).inc()
    return await _with_guest(done, body, guest, request, response)


@router.post(
    "/refresh",
    access=PUBLIC,
    operation_id="refreshSession",
    summary="Exchange a refresh token",
    responses=problems(),
)
async def refresh(
    body: Annotated[RefreshRequest, REFRESH], request: Request, response: Response
) -> TokenPair:
    """Each use gives another one. A repeat gets the same, however late, as long as that one was not
    used; a token whose successor was used ends the session."""
    parts = sign_in_of(request.scope)
    session, token = await parts.sessions.refresh(body.refresh_token)
    user = await find_user(session.user_id)
    if user.status == INACTIVE:  # the session stays: once they are active again, the token is good
        REFRESHES_REFUSED.labels("inactive").inc()
        raise Unauthenticated(AT_REST)
    return pair_of(session, token, user, request, response)


@router.post(
    "/logout",
    access=PUBLIC,
    status_code=204,
    operation_id="logOut",
    summary="End the session",
    responses=problems(),
)
async def log_out(request: Request, body: Annotated[LogoutRequest | None, LOGOUT] = None) -> None:
    """Of the refresh token in the body, else of the access token. Both end with it."""
    if body is not None and body.refresh_token is not None:
        await sign_in_of(request.scope).sessions.end_by_token(body.refresh_token)
        return
    caller = await live(await authenticate(request.scope))
    if caller.session_id is None:
        raise Unauthenticated("this access token belongs to no session")
    await RefreshToken.end(caller.session_id, caller.id)


async def _device(body: OnDevice, request: Request) -> Device:
    """The device, whose app is looked up before anything is used up.

    Raises:
        AppNotRegistered: this deployment knows registered apps alone, and its is none.
    """
    if body.app_id is not None:
        await app_registry(request.scope).settings_of(body.app_id)
    return Device(body.device_info, body.app_id)


async def _with_guest(
    done: SignedIn, body: WithGuest, guest: ObjectId | None, request: Request, response: Response
) -> TokenPair:
    """The tokens, with what became of the guest who signed in, if one did.

    Whoever signs in as somebody who is there has the guest merged into them, unless both have
    something: then the guest stays, and nothing is lost.
    """
    pair = _signed_in(done, request, response)
    if body.guest_token is None:
        return pair
    return pair.model_copy(update={"guest": await _outcome(done, guest, request)})


async def _outcome(done: SignedIn, guest: ObjectId | None, request: Request) -> GuestOutcome:
    if guest is None:
        return GuestOutcome(state="gone")
    user_id, state = ObjectId(done.user.id), request.app.state
    if guest == user_id:
        return GuestOutcome(state="became")
    by = f"user:{user_id}"
    try:
        await merge_people(guest, user_id, {}, by, state.settings, state.hooks, allowed=allow_guest)
    except MergeConflict as error:
        return GuestOutcome(state="kept", conflicts=error.extra["conflicts"])
    except Problem:
        return GuestOutcome(state="kept")
    leases(request.scope).drop(guest)
    return GuestOutcome(state="merged")


def _signed_in(done: SignedIn, request: Request, response: Response) -> TokenPair:
    pair = pair_of(done.session, done.refresh_token, done.user, request, response)
    return pair.model_copy(update={"created": done.created})
