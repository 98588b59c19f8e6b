"""A card as sent, with the limits that are in force for it."""

from typing import Any, Final

from app.shown.documents import CardView, EffectiveLimits
from models.base import Raw
from models.card import Card
from models.spending_profile import SpendingProfile

LIMITS_FROM: Final = "_spendingProfiles"
"""Where a card's row has its spending profile, in a list."""
_FIELDS: Final = CardView.model_fields.keys() & Card.model_fields.keys()


def profile_of(row: Raw) -> SpendingProfile | None:
    """The spending profile of a card, where it has one."""
    found = row[LIMITS_FROM]
    return SpendingProfile.from_stored(found[0]) if found else None


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


def card_view(row: Raw) -> CardView:
    """A card as sent.

    Args:
        row: as stored, with `LIMITS_FROM`.
    """
    card = Card.from_stored(row)
    return CardView(
        **card.model_dump(by_alias=False, include=set(_FIELDS)),
        effective_limits=effective_limits(card, profile_of(row)),
    )
