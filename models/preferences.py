"""The preferences: how a user wants things; one document to each user."""

from typing import Annotated, ClassVar, Literal, Self

import langcodes
from bson import ObjectId
from pydantic import AfterValidator, Field

from models.base import Fields, Session
from models.owned import OneToOne
from models.values import SmallObject

Label = Annotated[str, Field(min_length=1, max_length=256)]


def _bcp47(tag: str) -> str:
    if len(tag) > 35 or not langcodes.tag_is_valid(tag):
        raise ValueError("not a BCP 47 language tag")
    return langcodes.standardize_tag(tag)


Language = Annotated[str, AfterValidator(_bcp47)]
"""A BCP 47 tag in canonical case (`pt-br` is `pt-BR`)."""


class Notifications(Fields):
    """By which ways a user is to be told."""

    email: bool = True
    push: bool = True
    in_app: bool = True


class Widgets(Fields):
    """Which widgets are shown, and how."""

    enabled: list[Label] = Field(default_factory=list, max_length=256)
    disabled: list[Label] = Field(default_factory=list, max_length=256)
    customizations: SmallObject = Field(default_factory=dict)


class Dashboard(Fields):
    """How the dashboard is laid out."""

    layout: Label | None = None
    default_view: Label | None = None
    favorite_apps: list[Label] = Field(default_factory=list, max_length=256)


class PreferencesContent(Fields):
    """What preferences say."""

    theme: Literal["light", "dark", "auto"] = "auto"
    language: Language = "en"
    notifications: Notifications = Field(default_factory=Notifications)
    widgets: Widgets = Field(default_factory=Widgets)
    dashboard: Dashboard = Field(default_factory=Dashboard)


class Preferences(PreferencesContent, OneToOne):
    """One user's preferences."""

    GUARDED: ClassVar[bool] = True

    class Settings:
        name = "preferences"

    @classmethod
    async def find_or_create_preferences(
        cls, user_id: ObjectId, *, session: Session = None
    ) -> Self:
        """The user's preferences, made with defaults if there were none; racing callers get the one
        document."""
        return await cls.find_or_create(user_id, session=session)
