"""What a line of an import tells of a person, read and checked before anything is written."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from bson import ObjectId
from pydantic import ValidationError

from app.auth.codes.otp import email_recipient, phone_recipient
from app.errors import Problem
from app.people.lines import PersonLine
from app.web.body import MAX_VALUE_BYTES
from app.web.validation.errors import validation_problem
from models.activity import ActivityContent
from models.auth_identity import EMAIL, PHONE
from models.base import Raw, Stored, now
from models.values import Json, UnstorableValue, dump_checked

Error = dict[str, str]


class Key(NamedTuple):
    """What a person is found by: `("email", …)`, `("valuUserId", …)`, `("merkosUserId", …)`,
    `("id", …)`, `("identity", provider, id)`, `("externalId", app, id)`. No two people have the
    same."""

    kind: str
    first: str
    second: str = ""


class Identity(NamedTuple):
    """A way of signing in."""

    provider: str
    provider_id: str
    email: str | None
    verified: bool

    @property
    def key(self) -> Key:
        """What it is found by."""
        return Key("identity", self.provider, self.provider_id)


@dataclass(slots=True)
class Value:
    """A value that is to be stored, with the bytes of its JSON and its place in the line.

    `was` is what an export tells of its row besides: version, times, whether it is a tombstone.
    """

    app_id: str
    data_key: str
    value: Json
    size: int
    pointer: str
    expires_at: datetime | None = None
    was: Raw = field(default_factory=dict)

    @property
    def place(self) -> tuple[str, str]:
        """App and key."""
        return self.app_id, self.data_key


@dataclass(slots=True)
class Told:
    """What a line tells of a person, checked.

    Attributes:
        fields: of the user, by stored name, those that are told; `email` is not among them.
        email: canonical.
        vouched: whether the email is theirs by the word of who imports.
        profile: its fields that are told, by stored name; `preferences` likewise.
        keys: what the person is found by, each with its pointer.
        digest: of the line, by which the same one is known when it comes again.
        user_id: the id that a new user gets where it is free: that of an export.
        was: what an export tells of the user besides, for a new one.
        follows: whether it only adds to somebody who is there.
        rows: further documents of an export, which are stored unless their ids are taken.
        errors: what is wrong with it; then nothing of it is written.
    """

    fields: Raw = field(default_factory=dict)
    email: str | None = None
    vouched: bool = False
    identities: list[Identity] = field(default_factory=list)
    profile: Raw = field(default_factory=dict)
    preferences: Raw = field(default_factory=dict)
    external_ids: list[tuple[str, str]] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    activity: list[ActivityContent] = field(default_factory=list)
    keys: dict[Key, str] = field(default_factory=dict)
    digest: str | None = None
    user_id: ObjectId | None = None
    was: Raw = field(default_factory=dict)
    rows: dict[type[Stored], list[Raw]] = field(default_factory=dict)
    follows: bool = False
    errors: list[Error] = field(default_factory=list)

    def refuse(self, pointer: str, code: str, detail: str) -> None:
        """Note that something of the line is wrong."""
        self.errors.append({"pointer": pointer, "code": code, "detail": detail})


def digest_of(text: bytes) -> str:
    """By which a line is known when it comes again."""
    return sha256(text).hexdigest()[:32]


def refused(problem: Problem) -> Told:
    """A line that cannot be read."""
    errors = problem.errors or [{"pointer": "", "code": "malformed", "detail": str(problem.detail)}]
    return Told(errors=[dict(each) for each in errors])


def told_of(line: Json, digest: str | None = None) -> Told:
    """What a parsed line tells.

    Raises:
        Invalid: it is of another form.
    """
    try:
        content = PersonLine.model_validate(line)
    except ValidationError as error:
        raise validation_problem(error.errors(), "") from None
    spelled = line["user"].get("email") if isinstance(line, dict) and "user" in line else None
    return told_by(content, spelled, digest)


def told_by(content: PersonLine, spelled: str | None, digest: str | None = None) -> Told:
    """What a line of the right form tells.

    Args:
        content: the line.
        spelled: the email as it was written: who holds it may not hold its canonical form.
        digest: of the line.
    """
    told = Told(digest=digest)
    _take_user(told, content, spelled)
    _take_identities(told, content)
    for name in ("profile", "preferences"):
        if (part := getattr(content, name)) is not None:
            setattr(told, name, part.model_dump(by_alias=True, include=part.model_fields_set))
    for number, each in enumerate(content.external_ids):
        told.external_ids.append((each.app_id, each.external_id))
        _take_key(told, Key("externalId", each.app_id, each.external_id), f"/externalIds/{number}")
    _take_values(told, content)
    told.activity = [ActivityContent.model_construct(**dict(each)) for each in content.activity]
    if not told.keys and not told.errors:
        told.refuse("/user", "missing", "a line names its person by an email, a phone or an id")
    return told


def _take_user(told: Told, content: PersonLine, spelled: str | None) -> None:
    user = content.user
    told.fields = {
        name: value
        for name, value in user.model_dump(by_alias=True, exclude={"email", "phone"}).items()
        if value is not None
    }
    for name in ("valuUserId", "merkosUserId"):
        if name in told.fields:
            _take_key(told, Key(name, told.fields[name]), f"/user/{name}")
    if user.email is not None:
        told.email, told.vouched = user.email, "email" in content.verified
        _take_key(told, Key("email", user.email), "/user/email")
        if told.vouched:
            _take_email(told, spelled or user.email, "/user/email")
    elif "email" in content.verified:
        told.refuse("/user/email", "missing", "there is no email that could be vouched for")
    if user.phone is not None and "phone" not in content.verified:
        told.refuse("/verified", "missing", "a phone is a way of signing in: vouch for it here")
    elif user.phone is not None:
        _take_phone(told, user.phone, "/user/phone")
    elif "phone" in content.verified:
        told.refuse("/user/phone", "missing", "there is no phone that could be vouched for")


def _take_identities(told: Told, content: PersonLine) -> None:
    for number, each in enumerate(content.identities):
        pointer = f"/identities/{number}"
        if each.provider in (EMAIL, PHONE) and not each.verified:
            told.refuse(f"{pointer}/verified", "missing", "vouch for it, or leave it out")
        elif each.provider == EMAIL:
            _take_email(told, each.provider_id, f"{pointer}/providerId")
        elif each.provider == PHONE:
            _take_phone(told, each.provider_id, f"{pointer}/providerId")
        else:
            said = (each.email, each.verified and each.email is not None)
            _take_identity(told, Identity(each.provider, each.provider_id, *said), pointer)


def _take_email(told: Told, address: str, pointer: str) -> None:
    try:
        email = email_recipient(address).address
    except Problem as problem:
        told.refuse(pointer, "malformed", problem.detail or "")
    else:
        _take_identity(told, Identity(EMAIL, email, email, True), pointer)


def _take_phone(told: Told, number: str, pointer: str) -> None:
    try:
        phone = phone_recipient(number).address
    except Problem as problem:
        told.refuse(pointer, "malformed", problem.detail or "")
    else:
        _take_identity(told, Identity(PHONE, phone, None, False), pointer)


def _take_identity(told: Told, identity: Identity, pointer: str) -> None:
    if identity.key not in told.keys:
        told.identities.append(identity)
        told.keys[identity.key] = pointer


def _take_key(told: Told, key: Key, pointer: str) -> None:
    if key in told.keys:
        told.refuse(pointer, "duplicate", "the line has this twice")
    told.keys[key] = pointer


def _take_values(told: Told, content: PersonLine) -> None:
    moment, seen = now(), set()
    for number, each in enumerate(content.app_data):
        pointer = f"/appData/{number}"
        if (each.app_id, each.data_key) in seen:
            told.refuse(f"{pointer}/dataKey", "duplicate", "the line has this key twice")
        seen.add((each.app_id, each.data_key))
        ends = None if each.ttl is None else moment + timedelta(seconds=each.ttl)
        try:
            size = len(dump_checked(each.value))
        except UnstorableValue as error:
            told.refuse(f"{pointer}/value{error.pointer}", error.code, error.detail)
            continue
        if size > MAX_VALUE_BYTES:
            told.refuse(f"{pointer}/value", "too_long", f"a value has {MAX_VALUE_BYTES} bytes")
        told.values.append(Value(each.app_id, each.data_key, each.value, size, pointer, ends))
