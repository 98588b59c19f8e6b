"""Identities: linking further ways of signing in to a user, and unlinking them."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.auth.identities.oidc import Evidence
from app.auth.identities.taking import take_email
from app.database import transaction
from app.database.turns import turn
from app.errors import (
    Duplicate,
    Invalid,
    LastIdentity,
    NotFound,
)
from app.identity import trail
from app.relations.guards import check_references
from app.settings import Settings
from app.web.idempotency import Claim, check_repeat, make_claim, note_outcome
from models.audit_event import AuditKind
from models.auth_identity import EMAIL, GUEST, PHONE, AuthIdentity
from models.base import now
from models.ledger_note import LedgerNote
from models.living import living
from models.phone_otp import PhoneOtp
from models.refresh_token import RefreshToken
from models.user import User

T = TypeVar("T")
CODE_REFUSED: Final = "the code is wrong, was used, has expired, or was tried too often"


def evidence_of(challenge: PhoneOtp) -> Evidence:
    """Who has shown to be whom by a code."""
    if challenge.phone_number is not None:
        return Evidence(PHONE, challenge.phone_number)
    return Evidence(EMAIL, challenge.recipient, email=challenge.recipient, verified=True)


async def find_identity(user_id: ObjectId, identity_id: ObjectId | None) -> AuthIdentity:
    """One of a user's ways of signing in.

    Raises:
        NotFound: it is not there.
    """
    for identity in await AuthIdentity.of_user(user_id):
        if identity.id == identity_id:
            return identity
    raise NotFound("there is no such identity")


async def link(
    user_id: ObjectId,
    evidence: Evidence,
    challenge: PhoneOtp | None = None,
    claim: Claim | None = None,
) -> AuthIdentity:
    """Let a user sign in in one more way, and make the claim of the request.

    Raises:
        Repeated: a racing request with the same claim was faster.
        Duplicate: somebody else signs in so.
        Invalid: the challenge was consumed meanwhile.
    """

    async def work(session: AsyncClientSession) -> AuthIdentity:
        await make_claim(claim, 201, session)
        identity = await add_or_find(session)
        await note_outcome(claim, 201, identity.id, session)
        return identity

    async def add_or_find(session: AsyncClientSession) -> AuthIdentity:
        if challenge is not None and not await challenge.consume(session=session):
            raise Invalid.field("/code", "refused", CODE_REFUSED)
        if not await evidence.consume(session):
            raise Invalid.field("/idToken", "refused", "the ID token was used before")
        known = await known_identity(evidence.provider, evidence.provider_id, session)
        if known is not None:
            if known.user_id != user_id:
                raise Duplicate("another user signs in in this way")
            return known
        identity = await add_identity(user_id, evidence, session)
        await record_identity("identity_linked", user_id, identity, session)
        return identity

    return await in_turn(evidence, work, claim)


async def unlink(settings: Settings, user_id: ObjectId, identity_id: ObjectId) -> None:
    """Take a way of signing in away, never the last one. Sessions that were begun by it go on.

    The user's email is verified no longer where no other identity vouches for it, so that this one
    does not join again.

    Raises:
        NotFound: the user has no such identity.
        LastIdentity: they have no other.
    """

    async def work(session: AsyncClientSession) -> None:
        await User.raw().update_one({"_id": user_id}, {"$inc": {"guard": 1}}, session=session)
        identities = await AuthIdentity.of_user(user_id, session=session)
        gone = next((each for each in identities if each.id == identity_id), None)
        if gone is None:
            raise NotFound("there is no such identity")
        if len(identities) == 1:
            raise LastIdentity(
                "this is the only way in which this user signs in; link another one first"
            )
        await take_identity(settings, user_id, gone, identities, session)
        await LedgerNote.take("identity", gone, session, who=user_id)
        await record_identity("identity_unlinked", user_id, gone, session)

    await transaction(work)


async def take_identity(
    settings: Settings,
    user_id: ObjectId,
    gone: AuthIdentity,
    identities: list[AuthIdentity],
    session: AsyncClientSession,
) -> None:
    """Delete one of a user's identities; their email is verified no longer where no other vouches
    for it.

    Raises:
        NotFound: the user is gone.
    """
    await AuthIdentity.raw().delete_one({"_id": gone.id}, session=session)
    left = [each for each in identities if each.id != gone.id]
    row = await User.raw().find_one({"_id": user_id}, {"email": 1}, session=session)
    email = row.get("email") if row else None
    vouched = any(_vouches(settings, each, email) for each in left)
    unverified = gone.provider == EMAIL or (gone.email == email and not vouched)
    await keep_methods(user_id, session, {"emailVerifiedAt": None} if unverified else {})


def _vouches(settings: Settings, identity: AuthIdentity, email: str | None) -> bool:
    """Whether an identity shows that an email is its user's."""
    if identity.provider == EMAIL:
        return identity.provider_id == email
    return (
        identity.provider in settings.joining_providers
        and identity.email_verified
        and identity.email == email
    )


async def change_email(user_id: ObjectId, challenge: PhoneOtp) -> User:
    """Set a user's email to the one that a code was sent to, and let them sign in by it.

    It is taken from a user who has not verified it, see `take_email`.

    Raises:
        Duplicate: another user has verified it, or signs in by it.
        Invalid: the challenge was consumed meanwhile.
        NotFound: the user is gone.
    """
    address = challenge.recipient

    async def work(session: AsyncClientSession) -> User:
        if not await challenge.consume(session=session):
            raise Invalid.field("/code", "refused", CODE_REFUSED)
        known = await known_identity(EMAIL, address, session)
        if known is not None and known.user_id != user_id:
            raise Duplicate("another user signs in by this email")
        if not await take_email(address, user_id, session):
            raise Duplicate("another user has this email")
        await _leave_mailboxes(user_id, session)
        await add_identity(user_id, evidence_of(challenge), session)
        fields = {"email": address, "emailVerifiedAt": now(), "claimedEmail": None}
        changed = await keep_methods(user_id, session, fields)
        await trail.record("email_changed", f"user:{user_id}", user_id=user_id, session=session)
        return changed

    try:
        return await transaction(work)
    except DuplicateKeyError:
        raise Duplicate("another user has this email") from None


async def _leave_mailboxes(user_id: ObjectId, session: AsyncClientSession) -> None:
    """Have a user sign in by no email of before."""
    for gone in await AuthIdentity.of_user(user_id, session=session):
        if gone.provider == EMAIL:
            await AuthIdentity.raw().delete_one({"_id": gone.id}, session=session)
            await LedgerNote.take("identity", gone, session, who=user_id)


async def add_identity(
    user_id: ObjectId, evidence: Evidence, session: AsyncClientSession
) -> AuthIdentity:
    """Store an identity, in the transaction that keeps `authMethods` in step.

    Raises:
        NotFound: the user is gone.
        pymongo.errors.DuplicateKeyError: somebody else was first.
    """
    identity = AuthIdentity(
        id=PydanticObjectId(),
        user_id=PydanticObjectId(user_id),
        provider=evidence.provider,
        provider_id=evidence.provider_id,
        email=evidence.email,
        email_verified=evidence.verified,
    )
    await check_references(AuthIdentity, identity.stored(), session)
    await identity.add(session)
    left = {} if evidence.provider == GUEST else await _leave_guest(user_id, evidence, session)
    await keep_methods(user_id, session, left)
    return identity


async def _leave_guest(
    user_id: ObjectId, evidence: Evidence, session: AsyncClientSession
) -> dict[str, object]:
    """Of a guest: their sessions are this person's from now on, and live as long as others do.
    What else changes of the user."""
    as_guest = {"userId": user_id, "provider": GUEST}
    if not (await AuthIdentity.raw().delete_one(as_guest, session=session)).deleted_count:
        return {}
    await RefreshToken.leave_guest(user_id, evidence.provider, session=session)
    return {"guestUntil": None}


async def keep_methods(
    user_id: ObjectId, session: AsyncClientSession, fields: dict[str, object] | None = None
) -> User:
    """Make `authMethods` of a user the providers of their identities, and set other fields with it.

    Raises:
        NotFound: the user is gone.
    """
    methods = await AuthIdentity.methods_of(user_id, session=session)
    changed = await User.change(
        {"_id": user_id}, {**(fields or {}), "authMethods": methods}, session=session
    )
    if changed is None:
        raise NotFound("there is no such user")
    return changed


async def known_identity(
    provider: str, provider_id: str, session: AsyncClientSession
) -> AuthIdentity | None:
    """The identity of somebody who is here; that of a user whose deletion is not swept yet goes
    now."""
    known = await AuthIdentity.find_by_provider(provider, provider_id, session=session)
    if known is None or known.user_id in await living(User, [known.user_id], session=session):
        return known
    await AuthIdentity.raw().delete_one({"_id": known.id}, session=session)
    return None


async def in_turn(
    evidence: Evidence,
    work: Callable[[AsyncClientSession], Awaitable[T]],
    claim: Claim | None = None,
) -> T:
    """Run a transaction, again and from outside where somebody else was first to store the same."""
    async with turn(evidence.provider, evidence.provider_id) as patience:
        while True:
            try:
                return await transaction(work)
            except DuplicateKeyError:
                await check_repeat(claim)
                await patience.again()


async def record_identity(
    kind: AuditKind, user_id: ObjectId, identity: AuthIdentity, session: AsyncClientSession
) -> None:
    """Note on the trail what became of an identity."""
    detail = {"provider": identity.provider, "identityId": str(identity.id)}
    await trail.record(kind, f"user:{user_id}", user_id=user_id, detail=detail, session=session)
