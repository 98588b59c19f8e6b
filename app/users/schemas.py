"""What goes in and out of users, profiles and preferences."""

from typing import Annotated, Any, Final

from beanie import PydanticObjectId
from pydantic import ConfigDict, Field, create_model

from models.base import Fields, Reference, Timestamp
from models.preferences import PreferencesContent
from models.profile import ProfileContent
from models.user import NextStep, User, UserContent


class View(Fields):
    """What every document is sent with."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, extra="ignore")

    id: PydanticObjectId
    version: Annotated[int, Field(description="Counts the writes; the ETag begins with it.")]
    created_at: Timestamp
    updated_at: Timestamp


_CHANGEABLE: Final[Any] = {
    name: (field.annotation, field)
    for name, field in UserContent.model_fields.items()
    if name != "auth_methods"
}
UserChange: Final[type[Fields]] = create_model(
    "UserChange", __base__=Fields, account_id=(Reference | None, None), **_CHANGEABLE
)
"""What changes of a user by a patch; roles, permissions and the account by an admin's alone."""


class UserView(UserContent, View):
    """A user."""

    email: str | None = None
    account_id: PydanticObjectId | None = None
    last_login: Timestamp | None = None
    email_verified_at: Timestamp | None = None
    next_steps: Annotated[
        list[NextStep], Field(description="What the person is to do before they go on.")
    ]


Embedded = Annotated[
    UserView | None, Field(exclude_if=lambda user: user is None, description="With `expand=user`.")
]


class ProfileView(ProfileContent, View):
    """A profile; `user` where it was asked for by `expand`."""

    user_id: PydanticObjectId
    user: Embedded = None


class PreferencesView(PreferencesContent, View):
    """Preferences; `user` where it was asked for by `expand`."""

    user_id: PydanticObjectId
    user: Embedded = None


class CompleteView(Fields):
    """A user with all that is one to one with them (required: Get Complete User Profile)."""

    user: UserView
    profile: ProfileView | None
    preferences: PreferencesView | None


def user_view(user: User) -> UserView:
    """A user as sent. An email that nobody has proven is shown where there is no other."""
    view = UserView.model_validate(user)
    return view if user.email is not None else view.model_copy(update={"email": user.claimed_email})


def current(view: Fields) -> dict[str, Any]:
    """A document as the `current` of a 412 carries it."""
    return view.model_dump(mode="json", by_alias=True)
