"""Reading cards: each with its spending profile, and its user where wanted, by one query."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from bson import ObjectId
from fastapi import Query

from app.cards.schemas import PROFILES, USERS, CardView, card_view
from app.errors import Invalid, NotFound
from models.base import Raw, Session
from models.card import Card
from models.spending_profile import SpendingProfile
from models.user import User

_EXPANDABLE: Final = ("user", "spendingProfile")
Expand = Annotated[
    str | None,
    Query(
        pattern="^(user|spendingProfile)(,(user|spendingProfile))?$",
        description="`user`, `spendingProfile` or both with a comma in between: embeds them.",
    ),
]


def expanded(expand: str | None) -> frozenset[str]:
    """What an `expand=` names.

    Raises:
        Invalid: it names something else.
    """
    names = frozenset(expand.split(",")) if expand else frozenset()
    if not names <= {*_EXPANDABLE}:
        raise Invalid.field("?expand", "unknown", f"expand takes {' and '.join(_EXPANDABLE)}")
    return names


async def read_cards(
    where: Mapping[str, Any],
    *,
    limit: int,
    expand: frozenset[str] = frozenset(),
    session: Session = None,
) -> list[CardView]:
    """Cards, the newest first, with their limits in force.

    Args:
        where: a filter by stored names.
        limit: how many at most.
        expand: what to embed: `user`, `spendingProfile`.
        session: of a transaction, to see what it wrote.
    """
    pipeline: list[Raw] = [{"$match": dict(where)}, {"$sort": {"_id": -1}}, {"$limit": limit}]
    pipeline.append(_lookup(SpendingProfile.collection_name(), "spendingProfileId", PROFILES))
    if "user" in expand:
        pipeline.append(_lookup(User.collection_name(), "userId", USERS))
    rows = await (await Card.raw().aggregate(pipeline, session=session)).to_list()
    return [card_view(row, expand) for row in rows]


async def read_card(
    where: Mapping[str, Any], *, expand: frozenset[str] = frozenset(), session: Session = None
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


def _lookup(collection: str, field: str, name: str) -> Raw:
    return {"$lookup": {"from": collection, "localField": field, "foreignField": "_id", "as": name}}
