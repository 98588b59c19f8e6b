"""How cards and spending profiles are sent, and the limits that are in force for a card."""

from typing import Annotated, Any, Literal

from beanie import PydanticObjectId
from pydantic import Field

from app.users.schemas import Embedded, View, user_view
from models.base import Fields, Raw
from models.card import Card, CardLimit, CardStatus
from models.spending_profile import Cents, Duration, SpendingProfile, SpendingProfileContent
from models.user import User

PROFILES, USERS = "_spendingProfiles", "_users"
"""Where `app.cards.queries` puts what it looks up."""


class EffectiveLimits(Fields):
    """What is in force: the spending profile's where the card has one, else the card's own."""

    source: Literal["spendingProfile", "card"]
    limits: Annotated[
        dict[Duration, Cents],
        Field(description="Cents by duration; one that is absent has no limit."),
    ]
    allowed_merchant_categories: list[str] = Field(default_factory=list)
    blocked_merchant_categories: list[str] = Field(default_factory=list)


class SpendingProfileView(SpendingProfileContent, View):
    """A spending profile. An answer to a change says how many cards it affects."""

    account_id: PydanticObjectId
    affected_cards: Annotated[
        int | None,
        Field(
            exclude_if=lambda count: count is None, description="How many cards a change affects."
        ),
    ] = None


class CardView(CardLimit, View):
    """A card. `user` and `spendingProfile` are there where they were asked for by `expand`."""

    account_id: PydanticObjectId
    user_id: PydanticObjectId | None = None
    spending_profile_id: PydanticObjectId | None = None
    status: CardStatus
    last_four: str
    effective_limits: EffectiveLimits
    user: Embedded = None
    spending_profile: Annotated[
        SpendingProfileView | None,
        Field(exclude_if=lambda profile: profile is None, description="With `expand`."),
    ] = None


def profile_view(profile: SpendingProfile) -> SpendingProfileView:
    """A spending profile as sent."""
    return SpendingProfileView.model_validate(profile)


def effective_limits(card: Card, profile: SpendingProfile | None) -> EffectiveLimits:
    """The limits in force. A profile that is just being deleted is as good as gone: the card's own
    hold."""
    if profile is not None:
        return EffectiveLimits(
            source="spendingProfile",
            limits=profile.limits,  # type: ignore[arg-type]  # validated: no null is kept
            allowed_merchant_categories=profile.allowed_merchant_categories,
            blocked_merchant_categories=profile.blocked_merchant_categories,
        )
    limits: dict[Any, int] = {}
    if card.spend_limit is not None and card.spend_limit_duration is not None:
        limits[card.spend_limit_duration] = card.spend_limit
    return EffectiveLimits(source="card", limits=limits)


def card_view(row: Raw, expand: frozenset[str] = frozenset()) -> CardView:
    """A card as sent.

    Args:
        row: as `app.cards.queries` reads it: with its spending profile, and its user where that is
            expanded.
        expand: what to embed: `user`, `spendingProfile`.
    """
    card = Card.from_stored(row)
    profile = SpendingProfile.from_stored(row[PROFILES][0]) if row[PROFILES] else None
    user = User.from_stored(row[USERS][0]) if row.get(USERS) else None
    return CardView(
        **card.model_dump(
            by_alias=False, include=set(CardView.model_fields) & set(Card.model_fields)
        ),
        effective_limits=effective_limits(card, profile),
        user=user_view(user) if user else None,
        spending_profile=profile_view(profile) if profile and "spendingProfile" in expand else None,
    )
