"""The documents of a person who is new: made as the models would make them, at a tenth of the
cost."""

from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any, Final

from bson import ObjectId
from bson import Timestamp as ClusterTime

from app.people.lines.told import Identity, Told, Value
from app.web.body import dump_json
from models.activity import KEPT, ActivityContent
from models.app_data_queries import Query, query_keys
from models.base import Raw, Stored
from models.preferences import Preferences
from models.profile import Profile
from models.user import User
from models.values import escape_refs, escape_row, has_refs

_NOBODY: Final = ObjectId("0" * 24)
STAMP: Final = ClusterTime(0, 0)
"""Of what is inserted the server makes its cluster time."""


@cache
def _template(document: type[Stored]) -> Raw:
    """A document of which nothing is told, as its model makes it."""
    empty: Stored = document.model_validate({"userId": _NOBODY})
    return empty.stored()


def _made(document: type[Stored], moment: datetime, **fields: Any) -> Raw:
    made = _copied(_template(document))  # type: ignore[arg-type]  # a class is hashable
    return {**made, "createdAt": moment, "updatedAt": moment, **fields}


def _copied(value: Any) -> Any:
    """Objects and lists anew; what they hold is never changed. `deepcopy` takes ten times as
    long, which was a third of what an import cost."""
    if isinstance(value, dict):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def user_row(told: Told, user_id: ObjectId, moment: datetime) -> Raw:
    """The user."""
    row = _made(User, moment, _id=user_id, **told.fields)
    if told.email is not None:
        row["email"] = told.email
        if told.vouched:
            row["emailVerifiedAt"] = moment
    row["authMethods"] = list(dict.fromkeys(each.provider for each in told.identities))
    if told.digest is not None:
        row["importedAs"] = told.digest
    return row | told.was


def profile_row(told: Told, user_id: ObjectId, moment: datetime) -> Raw:
    """The profile; its name is the user's where none is told."""
    named = {"displayName": told.fields["name"]} if "name" in told.fields else {}
    fields = {**named, **told.profile}
    return _made(Profile, moment, _id=ObjectId(), userId=user_id, **_stored(fields))


def preferences_row(told: Told, user_id: ObjectId, moment: datetime) -> Raw:
    """The preferences."""
    fields = _stored(told.preferences)
    return _made(Preferences, moment, _id=ObjectId(), userId=user_id, **fields)


def _stored(fields: Raw) -> Raw:
    return escape_row({name: value for name, value in fields.items() if value is not None})


def identity_row(identity: Identity, user_id: ObjectId, moment: datetime) -> Raw:
    """A way of signing in."""
    row: Raw = {
        "_id": ObjectId(),
        "createdAt": moment,
        "updatedAt": moment,
        "version": 1,
        "userId": user_id,
        "provider": identity.provider,
        "providerId": identity.provider_id,
        "emailVerified": identity.verified,
    }
    return row if identity.email is None else row | {"email": identity.email}


def external_row(app_id: str, external_id: str, user_id: ObjectId, moment: datetime) -> Raw:
    """An id in another system."""
    times = {"createdAt": moment, "updatedAt": moment, "version": 1}
    ids = {"appId": app_id, "externalId": external_id, "userId": user_id}
    return {"_id": ObjectId(), **times, **ids}


FORMER: Final = "~satchel"
"""The app of former ids: of people who were brought in by an export where their id was not free."""


def former_id(former: ObjectId | None, user_id: ObjectId, moment: datetime) -> Raw:
    """The link from an id that a person had elsewhere."""
    return external_row(FORMER, str(former), user_id, moment)


def _as_was(value: Value, user_id: ObjectId, by: str, moment: datetime) -> Raw:
    """A value as it is told, with what is told of its past."""
    escaped = has_refs(value.value)
    return {
        "_id": ObjectId(),
        "userId": user_id,
        "appId": value.app_id,
        "dataKey": value.data_key,
        "value": escape_refs(value.value) if escaped else value.value,
        "escaped": escaped,
        "deleted": False,
        "createdAt": moment,
        "updatedAt": moment,
        "changedAt": STAMP,
        "changedBy": by,
        "bytes": value.size,
        **value.was,
    }


def value_row(
    value: Value,
    user_id: ObjectId,
    by: str,
    moment: datetime,
    floor: int,
    queries: tuple[Query, ...],
) -> Raw:
    """A value under a key that the person has not had, which begins after the floor of versions."""
    row = _as_was(value, user_id, by, moment)
    row["version"] = max(value.was.get("version", 1), floor + 1)
    if row["deleted"]:
        del row["value"]
        return {**row, "bytes": 0}
    if value.expires_at is not None:
        row["expiresAt"] = value.expires_at
    if keys := query_keys(queries, user_id, value.data_key, value.value):
        row["queryKeys"] = keys
    return row


def activity_rows(told: Told, user_id: ObjectId, moment: datetime) -> dict[ObjectId, Raw]:
    """What the person did in the last 90 days, by its id, which follows from what it is where no
    export tells it."""
    kept = [each for each in told.activity if each.timestamp > moment - KEPT]
    return {(name := _name(each, user_id)): _activity(each, name, user_id, moment) for each in kept}


def _activity(content: ActivityContent, name: ObjectId, user_id: ObjectId, moment: datetime) -> Raw:
    row: Raw = {
        "_id": name,
        "createdAt": moment,
        "updatedAt": moment,
        "version": 1,
        "userId": user_id,
        "appId": content.app_id,
        "eventType": content.event_type,
        "eventData": escape_refs(content.event_data),
        "timestamp": content.timestamp,
    }
    return row if content.session_id is None else row | {"sessionId": content.session_id}


def _name(content: ActivityContent, user_id: ObjectId) -> ObjectId:
    """An id that begins with the time, as others do, and ends with a digest of the rest."""
    told = [user_id, *(getattr(content, name) for name in ActivityContent.model_fields)]
    seconds = int(content.timestamp.timestamp())
    head = (seconds & 0xFFFFFFFF).to_bytes(4, "big")
    return ObjectId(head + sha256(dump_json(told)).digest()[:8])
