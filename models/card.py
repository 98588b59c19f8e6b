"""The card: held by a user of an account, limited by a spending profile or by itself."""

from typing import Annotated, ClassVar, Final, Literal, Self

from beanie import PydanticObjectId
from pydantic import Field, model_validator

from models.base import Fields, Reference, Stored
from models.spending_profile import Cents, Duration
from models.values import UnstorableValue

CardStatus = Literal["pending", "open", "paused", "closed", "orphaned"]
ACTIVE: Final = ("pending", "open", "paused")
"""While a card has one of these, its user cannot be deleted."""
TRANSITIONS: Final[dict[str, frozenset[str]]] = {
    "pending": frozenset({"open", "closed"}),
    "open": frozenset({"paused", "closed"}),
    "paused": frozenset({"open", "closed"}),
    "closed": frozenset(),
    "orphaned": frozenset(),
}
"""Status -> what a caller may make of it. `orphaned` comes from deleting the user of a closed card,
and is final."""


class CardLimit(Fields):
    """A card's own limit, which holds while it has no spending profile."""

    spend_limit: Annotated[Cents | None, Field(description="Cents; null: no limit.")] = None
    spend_limit_duration: Annotated[
        Duration | None, Field(description="Null where there is no limit.")
    ] = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.spend_limit is None) != (self.spend_limit_duration is None):
            detail = (
                "spendLimit and spendLimitDuration are both set, or both null, which means no limit"
            )
            raise UnstorableValue("/spendLimitDuration", "conflicting", detail)
        return self


class CardChange(CardLimit):
    """What a caller may change of a card."""

    user_id: Annotated[Reference, Field(description="Who holds the card: a user of the account.")]
    spending_profile_id: PydanticObjectId | None = None
    status: CardStatus


class CardContent(CardLimit):
    """What a caller says of a new card."""

    user_id: Annotated[Reference, Field(description="Who holds the card: a user of the account.")]
    spending_profile_id: PydanticObjectId | None = None
    status: Literal["pending", "open"] = "pending"
    last_four: Annotated[
        str, Field(pattern=r"^[0-9]{4}$", description="The last four digits of its number.")
    ]


class Card(CardLimit, Stored):
    """A card of an account. Only deleting the user of a closed card takes its `user_id` away."""

    GUARDED: ClassVar[bool] = True

    account_id: PydanticObjectId
    user_id: PydanticObjectId | None = None
    spending_profile_id: PydanticObjectId | None = None
    status: CardStatus = "pending"
    last_four: str

    class Settings:
        name = "cards"
