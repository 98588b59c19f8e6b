"""Reading cards: each with its spending profile, and what else is wanted, by one query."""

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from app.errors import NotFound
from app.shown.cards import card_view
from app.shown.documents import CardView
from app.shown.expanding import LIMITS, Expansion
from models.base import Raw, Session
from models.card import Card


async def read_cards(
    where: Mapping[str, Any],
    *,
    limit: int,
    expand: Expansion | None = None,
    session: Session = None,
) -> list[CardView]:
    """Cards, the newest first, with their limits in force.

    Args:
        where: a filter by stored names.
        limit: how many at most.
        expand: what to embed; None for nothing.
        session: of a transaction, to see what it wrote.
    """
    stages = [LIMITS, *(expand.stages if expand else [])]
    pipeline: list[Raw] = [
        {"$match": dict(where)},
        {"$sort": {"_id": -1}},
        {"$limit": limit},
        *stages,
    ]
    rows = await (await Card.raw().aggregate(pipeline, session=session)).to_list()
    views = [card_view(row) for row in rows]
    return [expand.fill(*each) for each in zip(views, rows, strict=True)] if expand else views


async def read_card(
    where: Mapping[str, Any], *, expand: Expansion | None = None, session: Session = None
) -> CardView:
    """The card that a filter names.

    Raises:
        NotFound: there is none.
    """
    found = await read_cards(where, limit=1, expand=expand, session=session)
    if not found:
        raise NotFound("there is no such card")
    return found[0]


async def profiles_held(account_id: ObjectId, user_id: ObjectId) -> list[ObjectId]:
    """The spending profiles on a user's cards."""
    found = await Card.raw().distinct(
        "spendingProfileId", {"accountId": account_id, "userId": user_id}
    )
    return [profile_id for profile_id in found if profile_id is not None]
