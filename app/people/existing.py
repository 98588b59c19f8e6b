"""What a line changes of a person who is there: only what differs is written."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from app.identity import trail
from app.people.apps import Apps
from app.people.lines.told import Key, Told, Value
from app.people.matching import Found
from app.people.rows import (
    activity_rows,
    external_row,
    identity_row,
    preferences_row,
    profile_row,
    value_row,
)
from app.people.writes import Writes, set_fields
from app.web.body import dump_json
from models.activity import Activity
from models.analytics import Analytics
from models.app_data import AppData
from models.app_data_batch import Pinned, Place
from models.app_data_updates import NEVER
from models.audit_event import AuditEvent, AuditKind
from models.auth_identity import AuthIdentity
from models.base import Raw, Stored
from models.external_id import ExternalId
from models.ledger_note import LedgerNote, noted, taken_of_user
from models.preferences import Preferences
from models.profile import Profile
from models.user import User, UserContent
from models.values import escape_row, unescape_refs, unescape_row

GRANTED: Final = ("roles", "permissions", "role")
_BEFORE: Final[Raw] = {"status": UserContent().status}
"""What a user is who was stored before there was such a field."""
_VALUE: Final = dict.fromkeys(
    ("userId", "appId", "dataKey", "version", "deleted", "expiresAt", "escaped", "bytes"), 1
) | {"createdAt": 1, "mutations": 1}


@dataclass(slots=True)
class Stock:
    """What is stored of the people whom lines mean, read by one query for each collection."""

    profiles: dict[ObjectId, Raw] = field(default_factory=dict)
    preferences: dict[ObjectId, Raw] = field(default_factory=dict)
    identities: defaultdict[ObjectId, list[Raw]] = field(default_factory=lambda: defaultdict(list))
    values: dict[tuple[ObjectId, str, str], Raw] = field(default_factory=dict)
    activity: set[ObjectId] = field(default_factory=set)

    def kept(self, user_id: ObjectId, told: Told, moment: datetime) -> dict[tuple[str, str], int]:
        """Bytes of the values that a line tells and that live already, by app and key."""
        rows = {value.place: self.values.get((user_id, *value.place)) for value in told.values}
        return {place: row["bytes"] for place, row in rows.items() if row and is_live(row, moment)}


def is_live(row: Raw, moment: datetime) -> bool:
    """Whether a row is a value, and no tombstone."""
    return not row["deleted"] and bool(row.get("expiresAt", NEVER) > moment)


async def _values(
    people: Mapping[ObjectId, Told], session: AsyncClientSession
) -> dict[tuple[ObjectId, str, str], Raw]:
    """The values that are stored under the keys that they are told with, by user, app and key."""
    places = _places(people)
    if not places:
        return {}
    sizes = sorted({value.size for told in people.values() for value in told.values})
    alike = {"$cond": [{"$in": ["$bytes", sizes]}, "$value", "$$REMOVE"]}  # it may be the same
    rows = AppData.raw().find({"$or": places}, {**_VALUE, "value": alike}, session=session)
    return {(row["userId"], row["appId"], row["dataKey"]): row async for row in rows}


async def read_stock(
    people: Mapping[ObjectId, Told], session: AsyncClientSession, moment: datetime
) -> Stock:
    """What is stored of these people, as of the transaction of the session."""
    stock, ids = Stock(), {"$in": list(people)}
    for document, into in ((Profile, stock.profiles), (Preferences, stock.preferences)):
        into |= {
            row["userId"]: row
            async for row in document.raw().find({"userId": ids}, session=session)
        }
    async for row in AuthIdentity.raw().find({"userId": ids}, session=session).sort("_id", 1):
        stock.identities[row["userId"]].append(row)
    stock.values = await _values(people, session)
    told = [name for user_id in people for name in activity_rows(people[user_id], user_id, moment)]
    stock.activity = set(await Activity.fetch(told, session, ("_id",))) if told else set()
    return stock


def _places(people: Mapping[ObjectId, Told]) -> list[Raw]:
    """The filters of the values that are told, by person and app."""
    keys: defaultdict[tuple[ObjectId, str], list[str]] = defaultdict(list)
    for user_id, told in people.items():
        for value in told.values:
            keys[user_id, value.app_id].append(value.data_key)
    return [
        {"userId": user_id, "appId": app_id, "dataKey": {"$in": found}}
        for (user_id, app_id), found in keys.items()
    ]


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one person by one line."""

    told: Told
    user: Raw
    stock: Stock
    known: dict[type[Stored], dict[ObjectId, Raw]]
    apps: Apps
    by: str
    moment: datetime

    def write(self, writes: Writes, found: Found) -> bool:
        """Add what differs to what is to be written. Returns whether anything does."""
        own = Writes()
        fields = self._user_fields(own)
        self._part(own, Profile, self.stock.profiles, self.told.profile)
        self._part(own, Preferences, self.stock.preferences, self.told.preferences)
        for app_id, external_id in self.told.external_ids:
            if Key("externalId", app_id, external_id) not in found.by_key:
                row = external_row(app_id, external_id, self.user["_id"], self.moment)
                own.inserts[ExternalId].append(row)
        for value in self.told.values:
            self._value(own, value)
        for document, rows in self.told.rows.items():
            known = self.known.get(document, {})
            fresh = [each for each in rows if each["_id"] not in known]
            own.inserts[document] += [{**each, "userId": self.user["_id"]} for each in fresh]
        own.inserts[Activity] += [
            row
            for name, row in activity_rows(self.told, self.user["_id"], self.moment).items()
            if name not in self.stock.activity
        ]
        if not fields and not any(own.inserts.values()) and not any(own.updates.values()):
            return False
        if self.told.digest is not None:
            fields["importedAs"] = self.told.digest
        self._update_user(own, fields)
        _join(writes, own)
        return True

    def _user_fields(self, own: Writes) -> Raw:
        """The fields of the user that change, the ways of signing in among them."""
        fields: Raw = {
            name: value
            for name, value in self.told.fields.items()
            if self.user.get(name, _BEFORE.get(name)) != value
        }
        fields |= self._email_fields() | self._methods(own)
        granted: Raw = {
            name: {"from": self.user.get(name), "to": fields[name]}
            for name in GRANTED
            if name in fields
        }
        if granted:
            self._record(own, "grant", granted)
        if "status" in fields:
            own.touched.add(self.user["_id"])
            changed = {"from": self.user.get("status", _BEFORE["status"]), "to": fields["status"]}
            self._record(own, "status_changed", {"status": changed})
        return fields

    def _email_fields(self) -> Raw:
        fields: Raw = {}
        if self.told.email is None:
            return fields
        if self.user.get("email") != self.told.email:
            fields = {"email": self.told.email, "claimedEmail": None, "emailVerifiedAt": None}
        if self.told.vouched and (fields or "emailVerifiedAt" not in self.user):
            fields["emailVerifiedAt"] = self.moment
        return fields

    def _methods(self, own: Writes) -> Raw:
        """Link the identities that the user does not have yet; the field of ways of signing in
        where there are any."""
        known = self.stock.identities[self.user["_id"]]
        have = {(each["provider"], each["providerId"]) for each in known}
        fresh = [each for each in self.told.identities if tuple(each[:2]) not in have]
        rows = [identity_row(each, self.user["_id"], self.moment) for each in fresh]
        own.inserts[AuthIdentity] += rows
        for row in rows:
            detail = {"provider": row["provider"], "identityId": str(row["_id"])}
            self._record(own, "identity_linked", detail)
        if not fresh:
            return {}
        methods = [each["provider"] for each in (*known, *rows)]
        return {"authMethods": list(dict.fromkeys(methods))}

    def _record(self, own: Writes, kind: AuditKind, detail: Raw) -> None:
        own.inserts[AuditEvent].append(audit_row(kind, self.by, detail, self.user["_id"]))

    def _update_user(self, own: Writes, fields: Raw) -> None:
        """Set fields; in any case the user is written, which conflicts with their deletion."""
        after = {**self.user, **fields, "version": self.user["version"] + 1}
        own.inserts[LedgerNote] += noted(taken_of_user(self.user, after), self.moment)
        update = set_fields(fields, self.moment) if set(fields) - {"importedAs"} else {}
        if not update and fields:
            update = {"$set": fields}
        guarded = {**update, "$inc": {**update.get("$inc", {}), "guard": 1}}
        where = {"_id": self.user["_id"], "version": self.user["version"]}
        own.updates[User].append(UpdateOne(where, guarded))

    def _part(
        self, own: Writes, document: type[Stored], stock: dict[ObjectId, Raw], told: Raw
    ) -> None:
        """Profile or preferences: made where they are missing, changed where they differ."""
        row = stock.get(self.user["_id"])
        if row is None:
            make = profile_row if document is Profile else preferences_row
            own.inserts[document].append(make(self.told, self.user["_id"], self.moment))
            return
        now = unescape_row(row)
        fields = {name: each for name, each in told.items() if not _same(now.get(name), each)}
        if fields:
            update = set_fields(escape_row(fields), self.moment)
            own.updates[document].append(UpdateOne({"_id": row["_id"]}, update))

    def _value(self, own: Writes, value: Value) -> None:
        """A value, where another one is stored, or none."""
        place = (self.user["_id"], *value.place)
        row = self.stock.values.get(place)
        app = self.apps.of(value.app_id)
        if row is None:
            floor = self.user.get("versionFloor", 0)
            rest = (self.by, self.moment, floor, self.apps.queries(value.app_id))
            own.inserts[AppData].append(value_row(value, self.user["_id"], *rest))
            return
        live = is_live(row, self.moment)
        if value.was.get("deleted"):  # a tombstone of an export: what is here came after it
            return
        if live and _is_stored(row, value):
            return
        queries = self.apps.queries(value.app_id)
        where = Place(place[0], value.app_id, self.by, app.history, queries)
        told: Raw = {"value": value.value, "size": value.size, "expires_at": value.expires_at}
        pinned = Pinned(value.data_key, row, live, self.moment, **told)
        own.updates[AppData].append(pinned.statement(where))


async def known_rows(
    people: Sequence[Told], session: AsyncClientSession
) -> dict[type[Stored], dict[ObjectId, Raw]]:
    """Of the further documents that lines bring, those that are stored already, by their ids."""
    wanted: defaultdict[type[Stored], list[ObjectId]] = defaultdict(list)
    for told in people:
        for document, rows in told.rows.items():
            wanted[document] += [row["_id"] for row in rows]
    known = {each: await each.fetch(ids, session, ("_id",)) for each, ids in wanted.items()}
    messages = [row for told in people for row in told.rows.get(Analytics, ())]
    fresh = {row["_id"] for row in await Analytics.without_stored(messages, session=session)}
    again = {row["_id"]: row for row in messages if row["_id"] not in fresh}
    return {**known, Analytics: {**known.get(Analytics, {}), **again}}


def _is_stored(row: Raw, value: Value) -> bool:
    if row["bytes"] != value.size or (value.expires_at is None) != ("expiresAt" not in row):
        return False
    stored = unescape_refs(row["value"]) if row.get("escaped") else row["value"]
    return dump_json(stored) == dump_json(value.value)


def _same(stored: object, told: object) -> bool:
    """Whether two values are one in JSON: 1 is not true here."""
    return dump_json(stored) == dump_json(told)


def audit_row(kind: AuditKind, by: str, detail: Raw, user_id: ObjectId | None = None) -> Raw:
    """An entry of the audit trail, as it is stored."""
    return trail.entry(kind, by, user_id=user_id, detail=detail).stored()


def _join(writes: Writes, own: Writes) -> None:
    for document, rows in own.inserts.items():
        if rows:
            writes.inserts[document] += rows
    for document, updates in own.updates.items():
        if updates:
            writes.updates[document] += updates
    writes.touched |= own.touched


def differing(people: Sequence[Told], found: Found) -> dict[ObjectId, Told]:
    """Of lines that mean one person each those whose line is not the one that was imported last."""
    told_of = {next(iter(found.of(told))): told for told in people}
    return {
        user_id: told
        for user_id, told in told_of.items()
        if told.digest is None or found.users[user_id].get("importedAs") != told.digest
    }
