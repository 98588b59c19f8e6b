"""Whom somebody signs in as: a user who is known so, who is joined, or who is made."""

from dataclasses import dataclass

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.auth.identities.guests import become_person
from app.auth.identities.linking import (
    CODE_REFUSED,
    add_identity,
    in_turn,
    known_identity,
    record_identity,
)
from app.auth.identities.oidc import REPLAYED, Evidence
from app.auth.identities.taking import own_email, take_email
from app.auth.sessions import Device, Sessions
from app.errors import (
    Forbidden,
    Unauthenticated,
    Unavailable,
)
from app.identity.standing import AT_REST
from app.settings import Settings
from app.users.service import note_login
from models.auth_identity import AuthIdentity
from models.base import now
from models.living import is_living
from models.phone_otp import PhoneOtp
from models.preferences import Preferences
from models.profile import Avatar, Profile
from models.refresh_token import RefreshToken
from models.user import INACTIVE, User


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has begun, its refresh token, its user, and whether the user was made by
    it."""

    session: RefreshToken
    refresh_token: str
    user: User
    created: bool


async def sign_in(
    settings: Settings,
    sessions: Sessions,
    evidence: Evidence,
    device: Device,
    challenge: PhoneOtp | None = None,
    guest: ObjectId | None = None,
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
        user_id, created = await _user_of(settings, evidence, session, guest)
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

    return await in_turn(evidence, work)


async def _user_of(
    settings: Settings,
    evidence: Evidence,
    session: AsyncClientSession,
    guest: ObjectId | None = None,
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
    known = await known_identity(evidence.provider, evidence.provider_id, session)
    if known is not None:
        await _note_email(known, evidence, session)
        if trusted:
            await own_email(known.user_id, evidence.email or "", session)
        return known.user_id, False
    holder = await _verified_holder(evidence.email, session) if trusted else None
    if holder is not None:
        identity = await add_identity(holder, evidence, session)
        await record_identity("identity_linked", holder, identity, session)
        return holder, False
    if guest is not None and await become_person(guest, evidence, session, trusted=trusted):
        return guest, False
    user_id = PydanticObjectId()
    with_email = trusted and await take_email(evidence.email or "", user_id, session)
    await _make_user(user_id, evidence, session, with_email=with_email)
    return user_id, True


async def _note_email(known: AuthIdentity, evidence: Evidence, session: AsyncClientSession) -> None:
    """Keep the email that the provider tells now with the identity."""
    said = (evidence.email, evidence.verified)
    if evidence.email is not None and said != (known.email, known.email_verified):
        fields = {"email": evidence.email, "emailVerified": evidence.verified}
        await AuthIdentity.change({"_id": known.id}, fields, session=session)


async def _verified_holder(email: str | None, session: AsyncClientSession) -> ObjectId | None:
    """Who has verified an email, and lives."""
    holder = await User.raw().find_one({"email": email}, session=session)
    if holder is None or holder.get("emailVerifiedAt") is None:
        return None
    return holder["_id"] if await is_living(User, holder, session=session) else None


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
