"""Routes of who a person is: their ways of signing in, their email, the role that they choose."""

from functools import partial
from typing import Annotated

from fastapi import Request, Response

from app.auth.challenges import challenge_view
from app.auth.codes.otp import email_recipient, phone_recipient
from app.auth.codes.requesters import Requester
from app.auth.context import sign_in_of
from app.auth.examples import CODE, EMAIL_CHANGE, IDENTITY_SHOWN, LINK, OTP, ROLE
from app.auth.identities.linking import (
    CODE_REFUSED,
    change_email,
    evidence_of,
    find_identity,
    link,
    unlink,
)
from app.auth.identities.roles import choose_role
from app.auth.schemas import (
    Challenge,
    ChallengeAnswer,
    EmailRequest,
    IdentityView,
    LinkRequest,
    PhoneRequest,
    RoleRequest,
)
from app.database.turns import turn
from app.errors import Invalid, NotFound, Unauthenticated
from app.identity.access import SELF
from app.identity.caller import Caller
from app.identity.principal import authorize
from app.shown.documents import UserView, user_view
from app.users.service import find_user
from app.web.etags import etag
from app.web.idempotency import (
    Claim,
    IdempotencyClaim,
    Repeated,
    at_most_once,
    check_repeat,
    claiming,
    write_once,
)
from app.web.openapi.answers import problems
from app.web.openapi.examples import page_of
from app.web.paging import Page
from app.web.routing import Router
from models.auth_identity import EMAIL, PHONE, AuthIdentity
from models.base import parse_id
from models.phone_otp import PhoneOtp, Purpose
from models.user import User

router = Router(prefix="/v1/users/me", tags=["Identities"])


@router.put(
    "/role", access=SELF, operation_id="chooseRole", summary="Choose my role", responses=problems()
)
async def put_role(
    body: Annotated[RoleRequest, ROLE],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> UserView:
    """One of those that are for choosing (a setting); `admin` never is. `nextSteps` of the user
    asks for it."""
    authorize(caller, "users:write", user_id=caller.id)
    work = partial(choose_role, request.app.state.settings, caller.id, body.role)
    return _sent(await write_once(claim, work, lambda _: find_user(caller.id)), response)


@router.post(
    "/email",
    access=SELF,
    status_code=202,
    operation_id="sendEmailCode",
    summary="Ask for a new email",
    responses=problems(),
)
async def ask_email(
    body: Annotated[EmailRequest, EMAIL_CHANGE], caller: Caller, request: Request
) -> Challenge:
    """A code is sent to the new address; nothing changes until it comes back. The present one is
    confirmed so, too."""
    authorize(caller, "users:write", user_id=caller.id)
    parts = sign_in_of(request.scope)
    recipient = email_recipient(body.email)
    return challenge_view(
        parts,
        await parts.codes.send(
            recipient, "change_email", Requester("user", str(caller.id)), caller.id
        ),
    )


@router.put(
    "/email",
    access=SELF,
    operation_id="confirmEmail",
    summary="Confirm my new email",
    responses=problems(409),
)
async def confirm_email(
    body: Annotated[ChallengeAnswer, CODE],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> UserView:
    """The code makes the address the user's email, and a way of signing in in the place of the one
    before."""
    authorize(caller, "users:write", user_id=caller.id)

    async def work() -> User:
        async with turn(PhoneOtp, body.challenge_id):
            await check_repeat(claim)  # a racing repeat waits here until the code was taken
            challenge = await _checked(body, "change_email", caller, request)
            user = await claiming(claim, partial(change_email, caller.id, challenge))
        await sign_in_of(request.scope).codes.settle(challenge)
        return user

    return _sent(await at_most_once(claim, work, lambda _: find_user(caller.id)), response)


@router.get(
    "/identities",
    access=SELF,
    operation_id="listIdentities",
    summary="List my ways of signing in",
    responses=problems() | page_of(IDENTITY_SHOWN),
)
async def list_identities(caller: Caller) -> Page[IdentityView]:
    """The first one first."""
    authorize(caller, "users:read", user_id=caller.id)
    return Page(
        items=[IdentityView.model_validate(each) for each in await AuthIdentity.of_user(caller.id)]
    )


@router.post(
    "/identities/challenges",
    access=SELF,
    status_code=202,
    operation_id="sendLinkCode",
    summary="Send a code to a phone to be linked",
    responses=problems(),
)
async def send_link_code(
    body: Annotated[PhoneRequest, OTP], caller: Caller, request: Request
) -> Challenge:
    """The answer is the same whether somebody signs in by this phone or not."""
    authorize(caller, "users:write", user_id=caller.id)
    parts = sign_in_of(request.scope)
    recipient = phone_recipient(body.phone_number)
    return challenge_view(
        parts,
        await parts.codes.send(recipient, "link", Requester("user", str(caller.id)), caller.id),
    )


def _refuse_email(provider: str) -> None:
    if provider == EMAIL:
        detail = "an email is linked by PUT /v1/users/me/email"
        raise Invalid.field("/provider", "conflicting", detail)


@router.post(
    "/identities",
    access=SELF,
    status_code=201,
    operation_id="linkIdentity",
    summary="Link a way of signing in",
    responses=problems(409),
)
async def link_identity(
    body: Annotated[LinkRequest, LINK],
    caller: Caller,
    claim: IdempotencyClaim,
    request: Request,
    response: Response,
) -> IdentityView:
    """A phone by its code, others by an ID token; an email address is linked by `PUT
    /v1/users/me/email`."""
    authorize(caller, "users:write", user_id=caller.id)
    _refuse_email(body.provider)

    async def again(done: Repeated) -> AuthIdentity:
        return await find_identity(caller.id, done.resource_id)

    identity = await at_most_once(claim, partial(_link, body, caller, claim, request), again)
    response.headers["Location"] = f"/v1/users/me/identities/{identity.id}"
    return IdentityView.model_validate(identity)


async def _link(
    body: LinkRequest, caller: Caller, claim: Claim | None, request: Request
) -> AuthIdentity:
    parts = sign_in_of(request.scope)
    if body.provider == PHONE:
        answer = body.answer()
        async with turn(PhoneOtp, answer.challenge_id):
            await check_repeat(claim)
            challenge = await _checked(answer, "link", caller, request)
            identity = await link(caller.id, evidence_of(challenge), challenge, claim)
        await parts.codes.settle(challenge)
        return identity
    try:
        evidence = await parts.oidc.verify(body.provider, body.token(), body.nonce)
    except NotFound:
        raise Invalid.field("/provider", "not_allowed", "there is no such provider") from None
    except Unauthenticated as error:
        raise Invalid.field("/idToken", "refused", str(error)) from None
    return await link(caller.id, evidence, claim=claim)


@router.delete(
    "/identities/{identityId}",
    access=SELF,
    status_code=204,
    operation_id="unlinkIdentity",
    summary="Unlink a way of signing in",
    responses=problems(409),
)
async def unlink_identity(identityId: str, caller: Caller, request: Request) -> None:
    """Never the last one (409). Sessions that were begun by it go on; end them if they are not
    to."""
    authorize(caller, "users:write", user_id=caller.id)
    identity_id = parse_id(identityId)
    if identity_id is None:
        raise NotFound("there is no such identity")
    await unlink(request.app.state.settings, caller.id, identity_id)


async def _checked(
    body: ChallengeAnswer, purpose: Purpose, caller: Caller, request: Request
) -> PhoneOtp:
    """The challenge that a code is right for; raises Invalid."""
    parts = sign_in_of(request.scope)
    challenge = await parts.codes.check(body.challenge_id, body.code, purpose, caller.id)
    if challenge is None:
        raise Invalid.field("/code", "refused", CODE_REFUSED)
    return challenge


def _sent(user: User, response: Response) -> UserView:
    response.headers["ETag"] = etag(user.version, user.id)
    return user_view(user)
