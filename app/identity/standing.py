"""What rights hang on: a session that lives, a user who is an admin, a key, and that whom it is
about is no admin."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database.rights import hold
from app.errors import Forbidden, Unauthenticated
from models.api_key import ApiKey
from models.base import Raw, Session, Stored, now
from models.refresh_token import RefreshToken
from models.user import ADMIN, ADMINS, INACTIVE, User, administers

ENDED: Final = "the session of this access token has ended"
AT_REST: Final = "this person is inactive: what is theirs is kept, and they can do nothing"
SPARED: Final = "only an admin changes or deletes an admin"
_TOUCH: Final = {"$inc": {"guard": 1}}


async def touch(
    document: type[Stored], where: Mapping[str, Any], session: Session, fields: Mapping[str, int]
) -> Raw | None:
    """Count up the guard of one document that a right hangs on; these fields of it, None where none
    matches."""
    return await document.raw().find_one_and_update(where, _TOUCH, dict(fields), session=session)


async def has_ended(
    user: Raw,
    session_id: ObjectId | None,
    issued_at: float,
    key_id: ObjectId | None = None,
    session: Session = None,
) -> bool:
    """Whether what a stored user's access token hangs on has ended.

    Args:
        user: the user.
        session_id: the stored session; None for a token that a server asked for.
        issued_at: Unix seconds; the user may have ended what servers were given until then.
        key_id: the server's key.
        session: of a transaction.
    """
    if session_id is not None:
        return await RefreshToken.find_living(session_id, user_id=user["_id"]) is None
    all_ended = user.get("sessionsEndedAt")
    if all_ended is not None and issued_at <= all_ended.timestamp():
        return True
    where = {"_id": key_id, "expiresAt": {"$not": {"$lte": now()}}}
    return (
        key_id is not None
        and await ApiKey.raw().find_one(where, {"_id": 1}, session=session) is None
    )


def hold_session(
    user_id: ObjectId, session_id: ObjectId | None, issued_at: float, key_id: ObjectId | None = None
) -> None:
    """Write only while what an access token hangs on has not ended, see `has_ended`.

    A server's key is read, not touched: else all writes of its users would stand in one line.
    """
    if session_id is None:
        hold(("tokens", user_id), partial(_keeps_token, user_id, issued_at, key_id))
    else:
        hold(("session", session_id), partial(_keeps_session, user_id, session_id))


async def _keeps_session(
    user_id: ObjectId, session_id: ObjectId, session: AsyncClientSession
) -> None:
    where = {"_id": session_id, "userId": user_id, "expiresAt": {"$gt": now()}}
    lives = await touch(RefreshToken, where, session, {"_id": 1}) is not None
    user = await User.raw().find_one({"_id": user_id}, {"status": 1}, session=session)
    if user is not None and user.get("status") == INACTIVE:
        raise Unauthenticated(AT_REST)  # whoever made them so has touched the session, too
    if user is not None and not lives:
        raise Unauthenticated(ENDED)  # of a user who is gone the write itself tells


async def _keeps_token(
    user_id: ObjectId, issued_at: float, key_id: ObjectId | None, session: AsyncClientSession
) -> None:
    row = await touch(User, {"_id": user_id}, session, {"sessionsEndedAt": 1, "status": 1})
    if row is not None and row.get("status") == INACTIVE:
        raise Unauthenticated(AT_REST)
    if row is not None and await has_ended(row, None, issued_at, key_id, session):
        raise Unauthenticated(ENDED)


def hold_admin(user_id: ObjectId) -> None:
    """Write only while a user is an admin."""
    hold(("admin", user_id), partial(_stays_admin, user_id))


async def _stays_admin(user_id: ObjectId, session: AsyncClientSession) -> None:
    if await touch(User, {"_id": user_id, "$or": list(ADMINS)}, session, {"_id": 1}) is None:
        raise Forbidden("you are no admin any more")


def hold_key(key_id: ObjectId) -> None:
    """Write only while a key with the scope `admin` is neither revoked nor over."""
    hold(("key", key_id), partial(_stays_key, key_id))


async def _stays_key(key_id: ObjectId, session: AsyncClientSession) -> None:
    where = {"_id": key_id, "scopes": ADMIN, "expiresAt": {"$not": {"$lte": now()}}}
    if await touch(ApiKey, where, session, {"_id": 1}) is None:
        raise Unauthenticated("the API key is not valid or has expired")


def hold_no_admin(user_id: ObjectId) -> None:
    """Write only while a user has not become an admin."""
    hold(("spared", user_id), partial(_stays_no_admin, user_id))


async def _stays_no_admin(user_id: ObjectId, session: AsyncClientSession) -> None:
    row = await touch(User, {"_id": user_id}, session, {"role": 1, "roles": 1})
    if row is not None and administers(row):
        raise Forbidden(SPARED)
