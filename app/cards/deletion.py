"""What is told of cards and spending profiles when something is deleted."""

from collections.abc import Sequence
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.cards.outbox import NewCardEvent, note
from app.relations.hooks import Carried, Hooks, Merge
from models.account import Account
from models.base import Raw, Stored, now
from models.card import Card
from models.spending_profile import SpendingProfile
from models.user import User

_LIMITS: Final = ("spendingProfileId", "effectiveLimits")


async def profiles_go(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Tell the webhook of deleted profiles, unless the account goes with them."""
    accounts = await _there(Account, {row["accountId"] for row in rows}, session)
    told = [row["_id"] for row in rows if row["accountId"] in accounts]
    await note(
        [NewCardEvent(profile_id, "spending_profile.deleted") for profile_id in told], session
    )


async def cards_lose_a_reference(rows: Sequence[Raw], session: AsyncClientSession) -> None:
    """Tell the webhook of cards that were orphaned, and of those that fall back to limits of their
    own.

    The deleted document is gone already when its cards are released, so what is missing says what
    happened.
    """
    users = await _there(User, {row["userId"] for row in rows if row.get("userId")}, session)
    told = []
    for row in rows:
        if row.get("userId") and row["userId"] not in users:
            told.append(
                NewCardEvent(row["_id"], "card.orphaned", ("status", "userId"), status="orphaned")
            )
        else:
            told.append(NewCardEvent(row["_id"], "card.updated", _LIMITS, status=row["status"]))
    await note(told, session)


async def _there(
    document: type[Stored], ids: set[ObjectId], session: AsyncClientSession
) -> set[ObjectId]:
    if not ids:
        return set()
    found: list[dict[str, Any]] = (
        await document.raw()
        .find({"_id": {"$in": list(ids)}}, {"_id": 1}, session=session)
        .to_list()
    )
    return {row["_id"] for row in found}


async def move_cards(rows: Sequence[Raw], merge: Merge, session: AsyncClientSession) -> Carried:
    """Cards become the target's, who is of the same account; the webhook is told."""
    where = {"_id": {"$in": [row["_id"] for row in rows]}, "userId": merge.source}
    cards = await Card.raw().find(where, {"status": 1}, session=session).to_list()
    update = {
        "$set": {"userId": merge.target, "updatedAt": now()},
        "$inc": {"version": 1},
    }
    await Card.raw().update_many(where, update, session=session)
    await note(
        [NewCardEvent(row["_id"], "card.updated", ("userId",), row["status"]) for row in cards],
        session,
    )
    return Carried(moved=len(cards))


HOOKS: Final = Hooks(
    going={SpendingProfile: profiles_go},
    released={Card: cards_lose_a_reference},
    moving={Card: move_cards},
)
