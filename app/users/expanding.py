"""What is one to one with users, beside them: `expand=profile,preferences`, one query each for any
number of users."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from fastapi import Query
from pydantic import Field

from app.errors import Invalid
from app.users.views import PreferencesView, ProfileView, UserView, View
from models.owned import OneToOne
from models.preferences import Preferences
from models.profile import Profile

EXPANDABLE: Final[Mapping[str, tuple[type[OneToOne], type[View]]]] = {
    "profile": (Profile, ProfileView),
    "preferences": (Preferences, PreferencesView),
}
ExpandUsers = Annotated[
    str | None,
    Query(max_length=64, description="`profile`, `preferences`, or both with a comma."),
]


class ExpandedUser(UserView):
    """A user, with what was asked for by `expand`."""

    profile: Annotated[
        ProfileView | None,
        Field(exclude_if=lambda part: part is None, description="With `expand=profile`."),
    ] = None
    preferences: Annotated[
        PreferencesView | None,
        Field(exclude_if=lambda part: part is None, description="With `expand=preferences`."),
    ] = None


async def expand_users(users: Sequence[UserView], expand: str | None) -> list[ExpandedUser]:
    """Users with what `expand=` names.

    Raises:
        Invalid: it names something else.
    """
    names = set(expand.split(",")) if expand else set()
    if names - EXPANDABLE.keys():
        known = " and ".join(EXPANDABLE)
        raise Invalid.field("?expand", "unknown", f"expand takes {known}")
    shown = [ExpandedUser.model_validate(user) for user in users]
    for name in names if users else ():
        document, view = EXPANDABLE[name]
        where = {"userId": {"$in": [user.id for user in users]}}
        rows = {row["userId"]: row async for row in document.raw().find(where)}
        parts = {
            user_id: view.model_validate(document.from_stored(row)) for user_id, row in rows.items()
        }
        shown = [user.model_copy(update={name: parts.get(user.id)}) for user in shown]
    return shown
