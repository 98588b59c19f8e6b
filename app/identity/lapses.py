"""Whose credentials have lapsed since they were looked at: asked for all at once, by answers that
go on for long."""

from collections.abc import Callable, Collection

from bson import ObjectId

from app.identity.principal import Principal
from models.api_key import ApiKey
from models.base import Raw
from models.living import only_living
from models.refresh_token import RefreshToken
from models.user import INACTIVE, User, administers

Listener = tuple[Principal, ObjectId | None]
"""Who listens, and whose data it is about; None for nobody's."""


async def look(listeners: Collection[Listener]) -> Callable[[Principal, ObjectId | None], bool]:
    """Look at what these hang on, by a query for each kind, whatever their number.

    Returns:
        Whether one of these listeners is to hear no more: the session has ended, the key is gone,
        the user is, or listens to another and is no admin any more.
    """
    users = {who.id for who, _ in listeners if who.kind == "user"} | {
        about for _, about in listeners if about
    }
    sessions = {who.session_id for who, _ in listeners if who.session_id}
    keys = {key for who, _ in listeners if (key := who.id if who.kind == "key" else who.key_id)}
    there = (
        {row["_id"]: row for row in await only_living(User, await User.standing_of(users))}
        if users
        else {}
    )
    living = await RefreshToken.living_among(sessions) if sessions else set()
    held = await ApiKey.held_among(keys) if keys else set()

    def has_lapsed(who: Principal, about: ObjectId | None) -> bool:
        if about is not None and about not in there:
            return True
        if who.kind == "key":
            return who.id not in held
        return not _stands(who, about, there.get(who.id), living, held)

    return has_lapsed


def _stands(
    who: Principal,
    about: ObjectId | None,
    row: Raw | None,
    living: Collection[ObjectId],
    held: Collection[ObjectId],
) -> bool:
    """Whether a user may go on listening."""
    if row is None or (about not in (None, who.id) and not administers(row)):
        return False
    if row.get("status") == INACTIVE:
        return False
    if who.session_id is not None:
        return who.session_id in living
    ended = row.get("sessionsEndedAt")
    return (ended is None or who.issued_at > ended.timestamp()) and (
        who.key_id is None or who.key_id in held
    )
