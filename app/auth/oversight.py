"""What admins see and end of other people's ways in: sessions and identities."""

from collections.abc import Iterable

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.auth.schemas import IdentityView, SessionView
from app.database import transaction
from app.errors import NotFound
from app.identity import trail
from models.auth_identity import AuthIdentity
from models.base import now
from models.refresh_token import RefreshToken
from models.user import User


async def sessions_of(user_id: ObjectId) -> list[SessionView]:
    """A person's living sessions, the newest first."""
    found = await RefreshToken.of_user(user_id)
    return [SessionView.model_validate(each) for each in reversed(found)]


async def identities_of(user_id: ObjectId) -> list[IdentityView]:
    """The ways in which a person signs in, the first one first."""
    return [IdentityView.model_validate(each) for each in await AuthIdentity.of_user(user_id)]


async def phones_of(user_ids: Iterable[ObjectId | None]) -> dict[str, list[str]]:
    """The phone numbers by which people sign in, in E.164, by the id of each who has one."""
    found: dict[str, list[str]] = {}
    for each in await AuthIdentity.phones_of([one for one in user_ids if one is not None]):
        found.setdefault(str(each.user_id), []).append(each.provider_id)
    return found


async def end_session_of(user_id: ObjectId, session_id: ObjectId | None, by: str) -> None:
    """End one session of a person, and record it in the same transaction.

    Raises:
        NotFound: they have no such session.
    """

    async def work(session: AsyncClientSession) -> None:
        if session_id is None or not await RefreshToken.end(session_id, user_id, session=session):
            raise NotFound("there is no such session")
        detail = {"sessionId": str(session_id)}
        await trail.record("session_ended", by, user_id=user_id, detail=detail, session=session)

    await transaction(work)


async def end_sessions_of(user_id: ObjectId, by: str) -> int:
    """End every session of a person and what servers minted for them before now, and record it, in
    one transaction.

    Returns:
        How many sessions those were.

    Raises:
        NotFound: there is no such user.
    """

    async def work(session: AsyncClientSession) -> int:
        ended = await RefreshToken.end_others(user_id, None, session=session)
        ends = {"$set": {"sessionsEndedAt": now()}}
        found = await User.raw().update_one({"_id": user_id}, ends, session=session)
        if not found.matched_count:
            raise NotFound("there is no such user")
        await trail.record(
            "session_ended", by, user_id=user_id, detail={"sessions": ended}, session=session
        )
        return ended

    return await transaction(work)
