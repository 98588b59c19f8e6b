"""How users, accounts and cards are sent, and what is one to one with a user.

They stand in one place since each may have the others in it, by `expand` (app/shown/expanding.py).
"""

from typing import Annotated, Any, Literal

from beanie import PydanticObjectId
from pydantic import ConfigDict, Field

from models.account import AccountContent, AccountStatus
from models.base import Fields, Timestamp
from models.card import CardLimit, CardStatus
from models.preferences import PreferencesContent
from models.profile import ProfileContent
from models.spending_profile import Cents, Duration, SpendingProfile, SpendingProfileContent
from models.user import NextStep, User, UserContent


def _is_none(value: Any) -> bool:
    return value is None


class View(Fields):
    """What every document is sent with."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    id: PydanticObjectId
    version: Annotated[int, Field(description="Counts the writes; the ETag begins with it.")]
    created_at: Timestamp
    updated_at: Timestamp


class AccountView(AccountContent, View):
    """An account. Its users see no `webhookUrl`."""

    status: AccountStatus


class UserView(UserContent, View):
    """A user. What is embedded is there where it was asked for by `expand`."""

    email: str | None = None
    account_id: PydanticObjectId | None = None
    last_login: Timestamp | None = None
    email_verified_at: Timestamp | None = None
    next_steps: Annotated[
        list[NextStep], Field(description="What the person is to do before they go on.")
    ]
    account: Annotated[
        AccountView | None,
        Field(exclude_if=_is_none, description="With `expand=account`, where they have one."),
    ] = None
    profile: Annotated[
        "ProfileView | None", Field(exclude_if=_is_none, description="With `expand=profile`.")
    ] = None
    preferences: Annotated[
        "PreferencesView | None",
        Field(exclude_if=_is_none, description="With `expand=preferences`."),
    ] = None
    cards: Annotated[
        "list[CardView] | None",
        Field(exclude_if=_is_none, description="With `expand=cards`, the newest 20."),
    ] = None


Embedded = Annotated[UserView | None, Field(exclude_if=_is_none, description="With `expand=user`.")]


class ProfileView(ProfileContent, View):
    """A profile; `user` where it was asked for by `expand`."""

    user_id: PydanticObjectId
    user: Embedded = None


class PreferencesView(PreferencesContent, View):
    """Preferences; `user` where it was asked for by `expand`."""

    user_id: PydanticObjectId
    user: Embedded = None


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
    """A spending profile. An answer to a change says how many cards it affects; what is embedded is
    there where it was asked for by `expand`."""

    account_id: PydanticObjectId
    affected_cards: Annotated[
        int | None, Field(exclude_if=_is_none, description="How many cards a change affects.")
    ] = None
    account: Annotated[
        AccountView | None, Field(exclude_if=_is_none, description="With `expand=account`.")
    ] = None
    cards: Annotated[
        "list[CardView] | None",
        Field(exclude_if=_is_none, description="With `expand=cards`, the newest 20."),
    ] = None


class CardView(CardLimit, View):
    """A card. What is embedded is there where it was asked for by `expand`."""

    account_id: PydanticObjectId
    user_id: PydanticObjectId | None = None
    spending_profile_id: PydanticObjectId | None = None
    status: CardStatus
    last_four: str
    effective_limits: EffectiveLimits
    user: Embedded = None
    account: Annotated[
        AccountView | None, Field(exclude_if=_is_none, description="With `expand=account`.")
    ] = None
    spending_profile: Annotated[
        SpendingProfileView | None,
        Field(exclude_if=_is_none, description="With `expand=spendingProfile`."),
    ] = None


UserView.model_rebuild()
SpendingProfileView.model_rebuild()


def user_view(user: User) -> UserView:
    """A user as sent. An email that nobody has proven is shown where there is no other."""
    view = UserView.model_validate(user)
    return view if user.email is not None else view.model_copy(update={"email": user.claimed_email})


def profile_view(profile: SpendingProfile) -> SpendingProfileView:
    """A spending profile as sent."""
    return SpendingProfileView.model_validate(profile)


def current(view: Fields) -> dict[str, Any]:
    """A document as the `current` of a 412 carries it."""
    return view.model_dump(mode="json", by_alias=True)
