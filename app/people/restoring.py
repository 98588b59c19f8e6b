"""Lines of an export, put together to lines of an import: what hangs off one person by one line, as
far as it is not too much."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from bson import ObjectId
from pydantic import AfterValidator, Field, ValidationError

from app.app_data.writes import LONGEST_TTL
from app.errors import Invalid
from app.people.lines import (
    ImportedExternalId,
    ImportedIdentity,
    ImportedUser,
    ImportedValue,
    PersonLine,
)
from app.people.lines.told import Key, Told, told_by
from app.people.out.exported import Part, fields_of, parts_of, secrets_of
from app.people.out.exporting import END
from app.people.rows import FORMER
from app.web.validation.errors import validation_problem
from indexes.definitions import INDEXES
from models.activity import Activity
from models.analytics import Analytics
from models.base import Fields, Happened, Raw, Stored, Timestamp, not_ahead, now, parse_id
from models.preferences import PreferencesContent
from models.profile import ProfileContent
from models.relations import RELATIONS, OnDelete, Relation, Relations, references_of
from models.seal import Seal
from models.user import User
from models.values import UnstorableValue

TAKEN: Final = ("users", "profiles", "preferences", "authidentities", "externalids", "appdata")
EVENTS: Final[dict[str, type[Stored]]] = {"activities": Activity, "analytics": Analytics}
"""Kinds that are hot, and stored as they are told."""
NOT_TAKEN: Final[dict[str, str]] = {
    "appusage": "it tells of tombstones that are gone where they came from",
    "analyticspeople": "people get their numbers where they are counted",
    "identityjoins": "joins are made by what an app says here",
    "quarantine": "events that could not be taken elsewhere",
    "refreshtokens": "sessions hold a secret that is not exported: people sign in anew",
    "cards": "cards belong to an account",
    "connections": "a bank's token is not exported: people connect anew",
    "bankaccounts": "they come with a connection",
    "transactions": "they come with a connection",
    "projects": "projects are their members' together",
    "invitations": "projects invite whom they want",
    END: "it says that the export is whole",
}
"""Kinds of an export that are left where they are, each with its reason."""
_SAID: Final = frozenset((*TAKEN, *EVENTS, *NOT_TAKEN))
_OF_NO_RULE: Final = "they are not one person's alone, or can be in each other's way"
MOST: Final = 200
_NO_ID: Final = "an id has 24 hex digits"
_Version = Annotated[int, Field(ge=1, le=2**52)]
"""Of a document that goes on being written, and restored."""


def plain_kinds(relations: Relations = RELATIONS) -> dict[str, type[Stored]]:
    """Kinds of which nothing is said here and whose documents are stored as they are told: they
    refer to their person alone and go with them, hold no secret, and no unique index has one of
    them be in another's way."""
    found = {part.kind: part for part in parts_of(relations) if part.kind not in _SAID}
    return {kind: part.document for kind, part in found.items() if _is_plain(part, relations)}


def _is_plain(part: Part, relations: Relations) -> bool:
    relation, document = part.relation, part.document
    return (
        relation == Relation(document, "user_id", User, OnDelete.CASCADE, merge=relation.merge)
        and references_of(document, relations) == [relation]
        and document.model_fields["id"].annotation is not str
        and not secrets_of(document)
        and not any(index.options.get("unique") for index in INDEXES.get(document, ()))
    )


AS_TOLD: Final = EVENTS | plain_kinds()


def reason_left(kind: str) -> str | None:
    """Why documents of a kind are left where they are; None where they are not, or no export has
    any."""
    is_of_no_rule = kind not in (*_SAID, *AS_TOLD) and kind in {part.kind for part in parts_of()}
    return NOT_TAKEN.get(kind, _OF_NO_RULE if is_of_no_rule else None)


@dataclass(slots=True)
class Gathered:
    """The lines of one person that are read and not written."""

    person: str
    numbers: list[int] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    line: PersonLine = field(default_factory=PersonLine)
    was: Raw = field(default_factory=dict)
    values: list[Raw] = field(default_factory=list)
    rows: dict[type[Stored], list[Raw]] = field(default_factory=dict)
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether they are to be written."""
        counts = (len(self.values), *(len(rows) for rows in self.rows.values()))
        return (
            max(counts) >= MOST or max(len(self.line.external_ids), len(self.line.identities)) >= 16
        )

    def told(self) -> Told:
        """What they tell together."""
        told = told_by(self.line, self.line.user.email)
        told.errors = [each for each in told.errors if each["code"] != "missing"]
        told.user_id, told.was, told.rows = ObjectId(self.person), self.was, self.rows
        told.follows = "users" not in self.kinds
        for value in told.values:
            was = self.values[int(value.pointer.rpartition("/")[2])]
            value.was = {name: each for name, each in was.items() if each is not None}
            value.expires_at = value.was.pop("expiresAt", None)
        told.keys |= {Key("id", self.person): "", Key("externalId", FORMER, self.person): ""}
        return told


def _within_reach(moment: datetime) -> datetime:
    if moment > now() + timedelta(seconds=LONGEST_TTL):
        raise UnstorableValue("", "out_of_range", f"a value ends within {LONGEST_TTL} seconds")
    return moment


class _WasValue(Fields):
    """What an export tells of a value besides."""

    version: _Version
    created_at: Happened
    updated_at: Happened
    expires_at: Annotated[Timestamp, AfterValidator(_within_reach)] | None = None
    deleted: bool = False


class _Counted(Fields):
    """How often a document was written."""

    version: _Version = 1


class _Born(Fields):
    """What an export tells of a user besides."""

    created_at: Happened = Field(default_factory=now)
    last_login: Happened | None = None
    email_verified_at: Happened | None = None


def is_exported(line: Any) -> bool:
    """Whether a parsed line is one of an export."""
    return isinstance(line, dict) and line.keys() == {"kind", "document"}


class Gatherer:
    """Puts the lines of an export together.

    Args:
        sealed: apps whose events are archived, and up to when: earlier ones are not taken.
    """

    def __init__(self, sealed: Raw) -> None:
        self._sealed = sealed
        self.current: Gathered | None = None

    @classmethod
    async def make(cls) -> "Gatherer":
        """One that knows what is sealed now."""
        return cls(await Seal.by_app())

    def belongs(self, line: Raw) -> bool:
        """Whether a line goes with those that are gathered."""
        person = _person_of(line["kind"], line["document"])
        return self.current is not None and self.current.person == person

    def take(self, number: int, line: Raw, size: int) -> None:
        """Add a line.

        Raises:
            Invalid: it is none of an export's; what was gathered is as it was.
        """
        kind, document = line["kind"], line["document"]
        person = _person_of(kind, document)
        if self.current is None or self.current.person != person:
            self.current = Gathered(person)
        try:
            self._add(self.current, kind, document)
        except ValidationError as error:
            problem = validation_problem(error.errors(), "")
            errors = [{**each, "pointer": f"/document{each['pointer']}"} for each in problem.errors]
            raise Invalid(problem.detail, errors=errors) from None
        self.current.kinds.add(kind)
        self.current.numbers.append(number)
        self.current.size += size

    def _add(self, into: Gathered, kind: str, document: Raw) -> None:
        line = into.line
        if kind == "users":
            born = _Born.model_validate(_content(document, _Born))
            told = {each for each in _names(ImportedUser) if document.get(each) is not None}
            line.user = ImportedUser.model_validate({name: document[name] for name in told})
            into.was |= born.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
        elif kind == "profiles":
            line.profile = ProfileContent.model_validate(_content(document, ProfileContent))
        elif kind == "preferences":
            part = _content(document, PreferencesContent)
            line.preferences = PreferencesContent.model_validate(part)
        elif kind == "authidentities":
            line.identities.append(ImportedIdentity.model_validate(_identity(document)))
        elif kind == "externalids":
            link = {name: document.get(name) for name in ("appId", "externalId")}
            line.external_ids.append(ImportedExternalId.model_validate(link))
        elif kind == "appdata":
            self._add_value(into, document)
        else:
            self._add_row(into, AS_TOLD[kind], document)

    def _add_value(self, into: Gathered, document: Raw) -> None:
        value = {name: document.get(name) for name in ("appId", "dataKey", "value")}
        was = _WasValue.model_validate(
            {name: document[name] for name in _names(_WasValue) if name in document}
        )
        into.line.app_data.append(ImportedValue.model_validate(value))
        into.values.append(was.model_dump(by_alias=True))

    def _add_row(self, into: Gathered, document: type[Stored], told: Raw) -> None:
        row = _row(document, told)
        if row["_id"] in {each["_id"] for each in into.rows.get(document, ())}:
            raise Invalid.field("/document/id", "duplicate", "a line before has this")
        if document is Analytics:
            if row["timestamp"] < self._sealed.get(row["appId"], row["timestamp"]):
                return
            row["receivedAt"] = now()  # so that it is counted
        into.rows.setdefault(document, []).append(row)


def _person_of(kind: Any, document: Any) -> str:
    """Whose a line is.

    Raises:
        Invalid: it says nobody.
    """
    if kind not in (*TAKEN, *AS_TOLD) or not isinstance(document, dict):
        raise Invalid.field("/kind", "not_allowed", "no kind of document that an export has")
    name = "id" if kind == "users" else "userId"
    person = document.get(name)
    if not isinstance(person, str) or parse_id(person) is None:
        raise Invalid.field(f"/document/{name}", "malformed", _NO_ID)
    return person.lower()


def _row(document: type[Stored], told: Raw) -> Raw:
    """A document as it is stored, of what an export has of one.

    Raises:
        Invalid: its id or a time of it is none.
        pydantic.ValidationError: it is of another form.
    """
    if not isinstance(told.get("id"), str) or parse_id(told["id"]) is None:
        raise Invalid.field("/document/id", "malformed", _NO_ID)
    names: Iterable[str] = fields_of(document)  # type: ignore[arg-type]  # a class is hashable
    kept = {name: told[name] for name in names if name in told}
    counted = {} if document in EVENTS.values() else _content(kept, _Counted)
    was = _Counted.model_validate(counted)
    kept |= {"_id": told["id"], "version": was.version}
    row: Raw = document.model_validate(kept).stored()
    for name in {"createdAt", "updatedAt", "timestamp"} & row.keys():
        try:
            not_ahead(row[name])
        except UnstorableValue as error:
            raise Invalid.field(f"/document/{name}", error.code, error.detail) from None
    return row


def _identity(document: Raw) -> Raw:
    kept = {name: document.get(name) for name in ("provider", "providerId", "email")}
    verified = document.get("emailVerified") is True or kept["provider"] == "phone"
    return {**{name: each for name, each in kept.items() if each is not None}, "verified": verified}


def _content(document: Raw, content: type[Fields]) -> Raw:
    return {name: document[name] for name in _names(content) if name in document}


def _names(content: type[Fields]) -> list[str]:
    return [str(each.alias) for each in content.model_fields.values()]
