"""The spending profile: limits and merchant categories that any number of an account's cards
share."""

from typing import Annotated, ClassVar, Final, Literal

from beanie import PydanticObjectId
from pydantic import (
    AfterValidator,
    Field,
    StrictInt,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from models.base import Fields, Stored

MOST_CENTS: Final = 2**53 - 1

Duration = Literal["TRANSACTION", "DAILY", "MONTHLY", "ANNUALLY", "FOREVER"]
"""The time that a limit is for, as Lithic names them."""


def _some_cents(amount: int) -> int:
    if amount == 0:
        raise ValueError(
            "0 is no limit that can be set: null means no limit, a closed or paused card spends"
            " nothing"
        )
    if not 1 <= amount <= MOST_CENTS:
        raise ValueError(f"a limit is between 1 and {MOST_CENTS} cents; null means no limit")
    return amount


Cents = Annotated[
    StrictInt,
    AfterValidator(_some_cents),
    WithJsonSchema(
        {"type": "integer", "minimum": 1, "maximum": MOST_CENTS, "description": "Cents."}
    ),
]
Limits = Annotated[
    dict[Duration, Cents | None],
    AfterValidator(
        lambda limits: {duration: cents for duration, cents in limits.items() if cents is not None}
    ),
]
"""Cents by duration; a duration that is absent or null has no limit."""
MerchantCategory = Annotated[
    str, Field(pattern=r"^[0-9]{4}$", description="ISO 18245 merchant category code.")
]


def _sorted_once(codes: list[str]) -> list[str]:
    return sorted(set(codes))


MerchantCategories = Annotated[
    list[MerchantCategory], Field(max_length=1000), AfterValidator(_sorted_once)
]


class SpendingProfileContent(Fields):
    """What a caller says of a spending profile."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    limits: Limits = Field(default_factory=dict)
    allowed_merchant_categories: Annotated[
        MerchantCategories,
        Field(description="Only these are allowed; none: all that are not blocked."),
    ] = Field(default_factory=list)
    blocked_merchant_categories: MerchantCategories = Field(default_factory=list)

    @field_validator("blocked_merchant_categories", mode="after")
    @classmethod
    def _not_both(cls, blocked: list[str], info: ValidationInfo) -> list[str]:
        if both := sorted({*blocked} & {*info.data.get("allowed_merchant_categories", ())}):
            raise ValueError(f"the merchant category {both[0]} is both allowed and blocked")
        return blocked


class SpendingProfile(SpendingProfileContent, Stored):
    """The spending profile of an account."""

    GUARDED: ClassVar[bool] = True

    account_id: PydanticObjectId
    guard: int = 0

    class Settings:
        name = "spendingprofiles"
