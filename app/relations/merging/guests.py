"""Guests who did not come back: they go by the ordinary deletion."""

from datetime import timedelta
from typing import Final

from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import NotFound
from app.relations.delete import delete_root
from app.relations.hooks import Hooks
from app.settings import Settings
from app.web.observability.measures import GUESTS_EXPIRED
from models.auth_identity import GUEST
from models.base import Raw
from models.refresh_token import RefreshToken
from models.user import User

_BY: Final = "job:expire-guests"
_KNOWN: Final = ("email", "accountId", "valuUserId", "merkosUserId")


async def look_after(row: Raw, settings: Settings, hooks: Hooks) -> None:
    """Delete a guest, or have them looked after later, or never again where somebody knows them."""
    days = timedelta(days=settings.guest_days)
    used = [each.last_used_at + days for each in await RefreshToken.of_user(row["_id"])]
    until = max([row["guestUntil"], *used])
    if not _is_unknown(row):
        await _change(row, {"$unset": {"guestUntil": ""}})
    elif until > row["guestUntil"]:
        await _change(row, {"$set": {"guestUntil": until}})
    else:
        await _delete(row, settings, hooks)


def _is_unknown(row: Raw) -> bool:
    return row.get("authMethods") == [GUEST] and not any(row.get(name) for name in _KNOWN)


async def _change(row: Raw, update: Raw) -> None:
    where = {"_id": row["_id"], "guestUntil": row["guestUntil"]}
    await User.raw().update_one(where, update)


async def _delete(row: Raw, settings: Settings, hooks: Hooks) -> None:
    """By the ordinary way, unless they have become a person meanwhile."""

    async def still_a_guest(found: Raw, _: AsyncClientSession) -> None:
        if found.get("guestUntil") != row["guestUntil"] or not _is_unknown(found):
            raise NotFound("they are a guest no more")

    try:
        await delete_root(User, row["_id"], _BY, settings, hooks, allowed=still_a_guest)
    except NotFound:
        return
    GUESTS_EXPIRED.inc()
