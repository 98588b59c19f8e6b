"""Identities: whom somebody signs in as, linking further ways of signing in to a user, and
unlinking them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.auth.identities.oidc import REPLAYED, Evidence
from app.auth.identities.taking import own_email, take_email
from app.auth.sessions import Device, Sessions
from app.database import transaction
from app.database.turns import turn
from app.errors import (
    Duplicate,
    Forbidden,
    Invalid,
    LastIdentity,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from app.identity import trail
from app.identity.standing import AT_REST
from app.relations.guards import check_references
from app.settings import Settings
from app.users.service import note_login
from app.web.idempotency import Claim, check_repeat, make_claim, note_outcome
from models.audit_event import AuditKind
from models.auth_identity import EMAIL, PHONE, AuthIdentity
from models.base import now
from models.living import is_living, living
from models.phone_otp import PhoneOtp
from models.preferences import Preferences
from models.profile import Avatar, Profile
from models.refresh_token import RefreshToken
from models.user import INACTIVE, User

T = TypeVar("T")
CODE_REFUSED: Final = "the code is wrong, was used, has expired, or was tried too often"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has begun, its refresh token, its user, and whether the user was made by
    it."""

    session: RefreshToken
    refresh_token: str
    user: User
    created: bool


def evidence_of(challenge: PhoneOtp) -> Evidence:
    """Who has shown to be whom by a code."""
    if challenge.phone_number is not None:
        return Evidence(PHONE, challenge.phone_number)
    return Evidence(EMAIL, challenge.recipient, email=challenge.recipient, verified=True)


async def sign_in(
    settings: Settings,
    sessions: Sessions,
    evidence: Evidence,
    device: Device,
    challenge: PhoneOtp | None = None,
) -> SignedIn:
    """Consume the challenge, find or make the user, begin a session, and note the login: all in one
    transaction.

    With an app it is the login flow (required: User Activity Tracking Flow): an activity and an
    event of it, beside `lastLogin`.

    Raises:
        Unauthenticated: the challenge was consumed by somebody else.
    """

    async def work(session: AsyncClientSession) -> SignedIn:
        if challenge is not None and not await challenge.consume(session=session):
            raise Unauthenticated(CODE_REFUSED)
        if not await evidence.consume(session):
            raise Unauthenticated(REPLAYED)
        user_id, created = await _user_of(settings, evidence, session)
        begun, token = await sessions.begin(user_id, device, evidence.provider, session)
        if device.app_id is None:
            moment = {"lastLogin": now()}
            await User.raw().update_one({"_id": user_id}, {"$max": moment}, session=session)
        else:
            await note_login(user_id, device.app_id, session)
        row = await User.raw().find_one({"_id": user_id}, session=session)
        if row is None:
            raise Unavailable("the user was deleted meanwhile")
        if row.get("status") == INACTIVE:
            raise Forbidden(AT_REST)
        return SignedIn(begun, token, User.from_stored(row), created)

    return await _in_turn(evidence, work)


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
        known = await _known(evidence.provider, evidence.provider_id, session)
        if known is not None:
            if known.user_id != user_id:
                raise Duplicate("another user signs in in this way")
            return known
        identity = await add_identity(user_id, evidence, session)
        await _record("identity_linked", user_id, identity, session)
        return identity

    return await _in_turn(evidence, work, claim)


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
        await AuthIdentity.raw().delete_one({"_id": identity_id}, session=session)
        left = [each for each in identities if each.id != identity_id]
        row = await User.raw().find_one({"_id": user_id}, {"email": 1}, session=session)
        email = row.get("email") if row else None
        vouched = any(_vouches(settings, each, email) for each in left)
        unverified = gone.provider == EMAIL or (gone.email == email and not vouched)
        await keep_methods(user_id, session, {"emailVerifiedAt": None} if unverified else {})
        await _record("identity_unlinked", user_id, gone, session)

    await transaction(work)


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
        known = await _known(EMAIL, address, session)
        if known is not None and known.user_id != user_id:
            raise Duplicate("another user signs in by this email")
        if not await take_email(address, user_id, session):
            raise Duplicate("another user has this email")
        await AuthIdentity.raw().delete_many(
            {"userId": user_id, "provider": EMAIL}, session=session
        )
        await add_identity(user_id, evidence_of(challenge), session)
        fields = {"email": address, "emailVerifiedAt": now(), "claimedEmail": None}
        changed = await keep_methods(user_id, session, fields)
        await trail.record("email_changed", f"user:{user_id}", user_id=user_id, session=session)
        return changed

    try:
        return await transaction(work)
    except DuplicateKeyError:
        raise Duplicate("another user has this email") from None


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
    await keep_methods(user_id, session)
    return identity


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


async def _user_of(
    settings: Settings, evidence: Evidence, session: AsyncClientSession
) -> tuple[ObjectId, bool]:
    """The user whom the evidence is of, and whether they were made now.

    An email that the evidence proves is theirs from now on, unless somebody else has verified it,
    or they have another.
    """
    trusted = (
        evidence.verified
        and evidence.email is not None
        and evidence.provider in settings.joining_providers
    )
    known = await _known(evidence.provider, evidence.provider_id, session)
    if known is not None:
        said = (evidence.email, evidence.verified)
        if evidence.email is not None and said != (known.email, known.email_verified):
            fields = {"email": evidence.email, "emailVerified": evidence.verified}
            await AuthIdentity.change({"_id": known.id}, fields, session=session)
        if trusted:
            await own_email(known.user_id, evidence.email or "", session)
        return known.user_id, False
    holder = (
        await User.raw().find_one({"email": evidence.email}, session=session) if trusted else None
    )
    verified = holder is not None and holder.get("emailVerifiedAt") is not None
    if holder is not None and verified and await is_living(User, holder, session=session):
        user_id = holder["_id"]
        identity = await add_identity(user_id, evidence, session)
        await _record("identity_linked", user_id, identity, session)
        return user_id, False
    user_id = PydanticObjectId()
    with_email = trusted and await take_email(evidence.email or "", user_id, session)
    await _make_user(user_id, evidence, session, with_email=with_email)
    return user_id, True


async def _known(
    provider: str, provider_id: str, session: AsyncClientSession
) -> AuthIdentity | None:
    """The identity of somebody who is here; that of a user whose deletion is not swept yet goes
    now."""
    known = await AuthIdentity.find_by_provider(provider, provider_id, session=session)
    if known is None or known.user_id in await living(User, [known.user_id], session=session):
        return known
    await AuthIdentity.raw().delete_one({"_id": known.id}, session=session)
    return None


async def _make_user(
    user_id: PydanticObjectId, evidence: Evidence, session: AsyncClientSession, *, with_email: bool
) -> None:
    """User, profile, preferences and identity (required: User Creation Flow)."""
    user = User(id=user_id, name=evidence.name)
    if with_email:
        user.email, user.email_verified_at = evidence.email, now()
    await user.add(session)
    avatar = Avatar(url=evidence.picture)
    await Profile(user_id=user_id, display_name=evidence.name, avatar=avatar).add(session)
    await Preferences(user_id=user_id).add(session)
    await add_identity(user_id, evidence, session)


async def _in_turn(
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


async def _record(
    kind: AuditKind, user_id: ObjectId, identity: AuthIdentity, session: AsyncClientSession
) -> None:
    detail = {"provider": identity.provider, "identityId": str(identity.id)}
    await trail.record(kind, f"user:{user_id}", user_id=user_id, detail=detail, session=session)
