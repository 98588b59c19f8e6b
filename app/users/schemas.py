"""What goes in and out of users, profiles and preferences, besides their forms
(app/shown/documents.py)."""

from typing import Any, Final

from pydantic import create_model

from app.shown.documents import PreferencesView, ProfileView, UserView
from models.base import Fields, Reference
from models.user import UserContent

_CHANGEABLE: Final[Any] = {
    name: (field.annotation, field)
    for name, field in UserContent.model_fields.items()
    if name != "auth_methods"
}
UserChange: Final[type[Fields]] = create_model(
    "UserChange", __base__=Fields, account_id=(Reference | None, None), **_CHANGEABLE
)
"""What changes of a user by a patch; roles, permissions and the account by an admin's alone."""


class CompleteView(Fields):
    """A user with all that is one to one with them (required: Get Complete User Profile)."""

    user: UserView
    profile: ProfileView | None
    preferences: PreferencesView | None
