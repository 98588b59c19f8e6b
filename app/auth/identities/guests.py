"""Guests: people without a way of signing in but the session that they were made with, until they
sign in (docs/sign-in.md)."""

from datetime import timedelta
from typing import Final

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.auth.identities.linking import add_identity
from app.auth.identities.oidc import Evidence
from app.auth.identities.taking import take_email
from app.auth.sessions import Device, Sessions
from app.database import transaction
from app.errors import Invalid
from app.settings import Settings
from app.users.service import note_login
from models.auth_identity import GUEST
from models.base import Raw, now
from models.preferences import Preferences
from models.profile import Profile
from models.refresh_token import RefreshToken
from models.user import User

GONE: Final = "this is no refresh token of a guest, or they are a guest no more"
Begun = tuple[User, RefreshToken, str]
"""A user, their session, and its first refresh token."""


def takes_guests(settings: Settings) -> bool:
    """Whether somebody may begin without signing in; unless it is set, not in production."""
    return settings.environment != "production" if settings.guests is None else settings.guests


async def make_guest(sessions: Sessions, device: Device, days: int) -> Begun:
    """User, profile, preferences and session, in one transaction; with an app it is a login
    there."""

    async def work(session: AsyncClientSession) -> Begun:
        user = User(id=PydanticObjectId(), guest_until=now() + timedelta(days=days))
        user_id = ObjectId(user.id)
        await user.add(session)
        await Profile(user_id=user_id).add(session)
        await Preferences(user_id=user_id).add(session)
        await add_identity(user_id, Evidence(GUEST, str(user_id)), session)
        begun, token = await sessions.begin(user_id, device, GUEST, session)
        if device.app_id is not None:
            await note_login(user_id, device.app_id, session)
        return user, begun, token

    return await transaction(work)


async def guest_of(sessions: Sessions, token: str | None) -> ObjectId | None:
    """Whose session a refresh token is, where it is a guest's and has not ended; else None."""
    found = None if token is None else await sessions.session_of(token)
    return ObjectId(found.user_id) if found is not None and found.auth_method == GUEST else None


def is_guest(row: Raw) -> bool:
    """Whether a stored user is one, and nothing else."""
    return row.get("guestUntil") is not None and row.get("authMethods") == [GUEST]


async def become_person(
    guest: ObjectId, evidence: Evidence, session: AsyncClientSession, *, trusted: bool
) -> bool:
    """Let a guest sign in by what was just proven, under their id and with all that is theirs.

    Returns:
        Whether they did: not where they are a guest no more.
    """
    row = await User.raw().find_one_and_update(
        {"_id": guest}, {"$inc": {"guard": 1}}, session=session
    )
    if row is None or not is_guest(row):
        return False
    fields: Raw = {} if row.get("name") or evidence.name is None else {"name": evidence.name}
    if trusted and await take_email(evidence.email or "", guest, session):
        fields |= {"email": evidence.email, "emailVerifiedAt": now()}
    if fields:
        await User.change({"_id": guest}, fields, session=session)
    await add_identity(guest, evidence, session)
    return True


def allow_guest(source: Raw, _: Raw) -> None:
    """Only a guest is merged by their token."""
    if not is_guest(source):
        raise Invalid.field("/guestToken", "refused", GONE)
