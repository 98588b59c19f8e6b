"""The main story, by the client that openapi-python-client makes of the document; mypy --strict
reads it too."""

import os
from datetime import datetime
from typing import TypeVar

from satchel_api import AuthenticatedClient
from satchel_api.api.app_data import get_app_data, list_app_data, patch_app_data, put_app_data
from satchel_api.api.users import (
    create_user,
    get_user,
    list_users,
    patch_profile,
    patch_user,
    put_preferences,
)
from satchel_api.models import (
    AppDataEnvelope,
    AppDataMismatch,
    AppDataPage,
    AvatarPatch,
    FieldErrorCode,
    PreferencesReplacement,
    ProblemBody,
    ProblemCode,
    ProfilePatch,
    ProfileView,
    UserContent,
    UserMismatch,
    UserPage,
    UserPatch,
    UserView,
)
from satchel_api.types import Response

T = TypeVar("T")


def see(found: object, kind: type[T]) -> T:
    assert isinstance(found, kind), found
    return found


client = AuthenticatedClient(base_url=os.environ["SATCHEL_URL"], token=os.environ["SATCHEL_KEY"])

# Create and read.
made = see(
    create_user.sync(client=client, body=UserContent(email="pia@example.com", name="Pia")), UserView
)
answer: Response[ProblemBody | UserMismatch | UserView] = get_user.sync_detailed(
    made.id, client=client
)
read = see(answer.parsed, UserView)
created: datetime = read.created_at
assert (read.name, read.email, read.last_login, created.tzinfo is None) == (
    "Pia",
    "pia@example.com",
    None,
    False,
)
tag = answer.headers["ETag"]

# Change by a merge patch, of which null takes a field away.
changed = see(
    patch_user.sync(made.id, client=client, body=UserPatch(name="Pia B."), if_match=tag), UserView
)
assert changed.name == "Pia B."
assert (
    see(patch_user.sync(made.id, client=client, body=UserPatch(email=None)), UserView).email is None
)
picture = ProfilePatch(bio="Sails.", avatar=AvatarPatch(url="https://example.com/pia.png"))
profile = see(patch_profile.sync(made.id, client=client, body=picture), ProfileView)
assert (profile.avatar.url, profile.avatar.thumbnail_url) == ("https://example.com/pia.png", None)

# A conflict tells what is stored, with its type.
late = see(
    patch_user.sync(made.id, client=client, body=UserPatch(name="Pia C."), if_match=tag),
    UserMismatch,
)
current: UserView | None = late.current
assert current is not None and (current.name, late.code) == ("Pia B.", ProblemCode.VERSION_MISMATCH)

# Values of apps.
put = put_app_data.sync(
    made.id, "notes", "settings", client=client, body={"theme": "dark"}, ttl=3600
)
assert see(put, AppDataEnvelope).version == 1
twice = put_app_data.sync(made.id, "notes", "settings", client=client, body={}, if_none_match="*")
stored = see(twice, AppDataMismatch).current
assert stored is not None and (stored.data_key, stored.value) == ("settings", {"theme": "dark"})
patched = patch_app_data.sync(made.id, "notes", "settings", client=client, body={"theme": "light"})
assert see(patched, AppDataEnvelope).value == {"theme": "light"}
assert get_app_data.sync(made.id, "notes", "settings", client=client) == {"theme": "light"}
values = see(list_app_data.sync(made.id, "notes", client=client), AppDataPage)
assert ([item.data_key for item in values.items], values.next_cursor) == (["settings"], None)

# A list, and the next page of it.
create_user.sync(client=client, body=UserContent())
first = see(list_users.sync(client=client, limit=1), UserPage)
assert first.next_cursor is not None
second = see(list_users.sync(client=client, limit=1, cursor=first.next_cursor), UserPage)
assert first.items[0].id != second.items[0].id

# Problems have codes.
assert see(get_user.sync("f" * 24, client=client), ProblemBody).code is ProblemCode.NOT_FOUND
unknown = PreferencesReplacement(language="none at all")
wrong = see(put_preferences.sync(made.id, client=client, body=unknown), ProblemBody)
assert isinstance(wrong.errors, list)
assert [(error.pointer, error.code) for error in wrong.errors] == [
    ("/language", FieldErrorCode.MALFORMED)
]
print("told")
