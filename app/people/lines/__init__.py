"""The form of a line of an import, and how its JSON is read."""

import json
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import AfterValidator, Field

from app.app_data.writes import LONGEST_TTL
from app.errors import Invalid
from models.activity import EventType, SessionId
from models.app import AppId, DataKey
from models.base import Fields, Happened
from models.nobody import is_nobody
from models.preferences import PreferencesContent
from models.profile import ProfileContent
from models.user import Email, ForeignId, Grant, Name, Role, Status
from models.values import Json, SmallObject, has_long_number

MOST_LINES: Final = 1000
MOST_LINE_BYTES: Final = 4 * 1024 * 1024


def _of_somebody(text: str) -> str:
    if is_nobody(text):
        raise ValueError(f"{text!r} stands where an id should, and is nobody's")
    return text


PersonsId = Annotated[ForeignId, AfterValidator(_of_somebody)]


class ImportedUser(Fields):
    """Who a person is. What is left out, or null, stays as it is."""

    email: Email | None = None
    phone: Annotated[
        Annotated[str, Field(min_length=1, max_length=32, description="In international form.")]
        | None,
        Field(description="Kept as a way of signing in: it has to be among `verified`."),
    ] = None
    name: Name | None = None
    valu_user_id: PersonsId | None = None
    merkos_user_id: PersonsId | None = None
    roles: Annotated[
        list[Grant] | None, Field(max_length=64, description="Granted by admins alone.")
    ] = None
    permissions: Annotated[
        list[Grant] | None, Field(max_length=256, description="Granted by admins alone.")
    ] = None
    role: Annotated[Role | None, Field(description="Granted by admins alone.")] = None
    status: Annotated[
        Status | None, Field(description="An inactive person keeps everything and can do nothing.")
    ] = None


class ImportedIdentity(Fields):
    """A way in which the person signs in from now on, by the word of who imports."""

    provider: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
    provider_id: Annotated[
        str,
        Field(min_length=1, max_length=256, description="The `sub` of the provider's ID tokens."),
    ]
    email: Annotated[Email | None, Field(description="What the provider last said.")] = None
    verified: Annotated[
        bool, Field(description="Whether the provider said that the mailbox is theirs.")
    ] = False


class ImportedExternalId(Fields):
    """An id of the person in another system, by which an app knows them."""

    app_id: AppId
    external_id: PersonsId


class ImportedValue(Fields):
    """A value among an app's data of the person."""

    app_id: AppId
    data_key: DataKey
    value: Annotated[Any, Field(description="Any JSON value, at most 512 KiB.")]
    ttl: Annotated[
        int | None, Field(ge=1, le=LONGEST_TTL, strict=True, description="Seconds until it ends.")
    ] = None


class ImportedActivity(Fields):
    """Something that the person did. The same one is stored once, however often it is sent."""

    app_id: AppId
    event_type: EventType
    event_data: SmallObject = Field(default_factory=dict)
    session_id: SessionId | None = None
    timestamp: Annotated[Happened, Field(description="What is older than 90 days is left out.")]


class PersonLine(Fields):
    """All that is told of one person. They are found by any of their emails, phones and ids."""

    user: ImportedUser = Field(default_factory=ImportedUser)
    verified: Annotated[
        list[Literal["email", "phone"]],
        Field(max_length=2, description="What is vouched for: they sign in by it at once."),
    ] = Field(default_factory=list)
    identities: list[ImportedIdentity] = Field(default_factory=list, max_length=16)
    profile: ProfileContent | None = None
    preferences: PreferencesContent | None = None
    external_ids: list[ImportedExternalId] = Field(default_factory=list, max_length=64)
    app_data: list[ImportedValue] = Field(default_factory=list, max_length=200)
    activity: list[ImportedActivity] = Field(default_factory=list, max_length=200)


def parse_line(text: bytes) -> Json:
    """The JSON of a line; integers of any size, so that those that are too large are found out.

    Raises:
        Invalid: it is none, or too long.
    """
    if len(text) > MOST_LINE_BYTES:
        raise Invalid.field("", "too_long", f"a line has at most {MOST_LINE_BYTES} bytes")
    try:
        value: Json = orjson.loads(text)
        return json.loads(text) if has_long_number(text) else value
    except ValueError as error:
        raise Invalid.field("", "malformed", f"the line is not valid JSON: {error}") from None
