"""What every stored document has: camelCase names, timestamps, and a version that is its ETag."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

from beanie import Document, PydanticObjectId
from bson import ObjectId
from bson.errors import InvalidId
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema
from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from models.clock import CLOCK
from models.strict_types import strictly
from models.unreadable import FAULTS, Unreadable
from models.values import UnstorableValue, escape_row, unescape_row

Session = AsyncClientSession | None
_AHEAD = timedelta(days=1).total_seconds()
_IDS_AT_ONCE: Final = 5000  # in one query
MOMENT: Final = "it must be a time such as 2026-11-20T08:30:00Z"
WRITE_CONFLICT: Final = 112
"""The server's code for a transaction that would write what another has written."""
Raw = dict[str, Any]


def now() -> datetime:
    """The current time in UTC by the database's clock, cut to the millisecond that MongoDB
    stores."""
    moment = datetime.fromtimestamp(CLOCK.time(), UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def to_milliseconds(moment: datetime) -> datetime:
    """The same moment in UTC at millisecond precision; a naive time is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is outside the years 1 to 9999 in UTC") from None
    beyond = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - beyond) if beyond else moment


def rfc3339(moment: datetime) -> str:
    """`2026-11-20T08:30:00.125Z`, as every time is sent (RFC 3339)."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_id(text: str) -> ObjectId | None:
    """The ObjectId that 24 hex digits spell, None for any other text."""
    try:
        return ObjectId(text) if len(text) == 24 else None
    except InvalidId:
        return None


def stored_name(name: str) -> str:
    """The name under which an attribute is stored: camelCase, and `_id` for `id` (Beanie needs that
    one left alone)."""
    return "_id" if name == "id" else to_camel(name)


def _not_absent(value: object) -> object:
    if value is None:
        raise ValueError("an id has 24 hex digits")
    return value


Reference = Annotated[PydanticObjectId, BeforeValidator(_not_absent)]
"""An id that a body must name: of a null, PydanticObjectId alone would make a fresh id."""

_DATED: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
_BEFORE_OFFSET: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[^ ]+ [0-9]{2}:?[0-9]{2}"
)


def _written_out(value: object) -> object:
    """A time as text must have its date written out: of bare digits pydantic makes seconds since
    1970."""
    if isinstance(value, str):
        if " " in value and _BEFORE_OFFSET.fullmatch(value):
            raise UnstorableValue(
                "", "malformed", f"{MOMENT}; the plus of an offset is written %2B in a query"
            )
        if _DATED.match(value):
            return value
        raise UnstorableValue("", "malformed", MOMENT)
    if isinstance(value, (bool, int, float)):
        raise UnstorableValue("", "wrong_type", MOMENT)
    return value


ClockTime = Annotated[datetime, BeforeValidator(_written_out)]
"""A time as it was written: aware where it has an offset, naive where it has none and the reader
knows the zone."""

Timestamp = Annotated[
    ClockTime,
    AfterValidator(to_milliseconds),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def not_ahead(moment: datetime) -> datetime:
    """A time that is told of something that happened: a clock may be wrong, but not by more than a
    day.

    Raises:
        UnstorableValue: it is more than a day in the future.
    """
    if moment.timestamp() > CLOCK.time() + _AHEAD:
        raise UnstorableValue("", "out_of_range", "the time is more than a day in the future")
    return moment


Happened = Annotated[Timestamp, AfterValidator(not_ahead)]


class Fields(BaseModel):
    """A group of fields with camelCase names, shared by a document and the bodies that carry it
    over HTTP.

    What comes over HTTP is validated by its camelCase names alone; code makes one by attribute
    names.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        extra="forbid",
        json_schema_serialization_defaults_required=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """What pydantic makes, but that numbers and booleans are not taken from texts."""
        return strictly(handler(source))

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            """Make one by attribute names."""
            fields = type(self).model_fields
            super().__init__(**{_alias_of(fields, name): value for name, value in values.items()})

        # Without this pydantic would validate by calling `__init__`, and take attribute names from
        # everybody.
        __init__.__pydantic_base_init__ = True


def _alias_of(fields: Mapping[str, FieldInfo], name: str) -> str:
    return fields[name].alias or name if name in fields else name


class Overtaken(Exception):
    """Another transaction was faster, or goes first: nothing is to be written, and all is to be
    looked at anew.

    Args:
        closing: the parent that was to take no more children, where that is what failed.
    """

    def __init__(self, closing: ObjectId | None = None) -> None:
        super().__init__()
        self.closing = closing


class Stored(Document):
    """A document of a collection of ours.

    `version` counts the writes and is the ETag; `guard` counts the references that were made to the
    document, so that making one conflicts with deleting it (docs/architecture.md, Deletion).
    """

    model_config = ConfigDict(
        alias_generator=stored_name,
        validate_by_name=True,
        validate_by_alias=True,
        extra="ignore",
        arbitrary_types_allowed=True,
    )
    GUARDED: ClassVar[bool] = False
    """Whether clients send its version back to guard a write: a restore raises it."""

    created_at: Timestamp = Field(default_factory=now)
    updated_at: Timestamp = Field(default_factory=now)
    version: int = 1

    @classmethod
    def raw(cls) -> AsyncCollection[Raw]:
        """The PyMongo collection, for reads and writes that do without Beanie's parsing."""
        return cls.get_pymongo_collection()

    @classmethod
    def collection_name(cls) -> str:
        """The collection's name, known before a database is."""
        settings: Any = cls.Settings
        return str(settings.name)

    @classmethod
    def noun(cls) -> str:
        """What one of them is called in a sentence: `spending profile`."""
        return " ".join(re.findall("[A-Z][a-z]*", cls.__name__)).lower()

    def stored(self) -> Raw:
        """The document as it is stored: camelCase, absent fields left out, `$ref` keys escaped."""
        row = self.model_dump(by_alias=True, exclude={"revision_id"})
        return escape_row({name: value for name, value in row.items() if value is not None})

    @classmethod
    def from_stored(cls, row: Mapping[str, Any]) -> Self:
        """The document that a stored row holds.

        Raises:
            Unreadable: it holds none.
        """
        try:
            document: Self = cls.model_validate(cls.plain(row))
        except FAULTS as error:
            raise Unreadable(cls.collection_name(), row.get("_id")) from error
        return document

    @classmethod
    def plain(cls, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A stored row, with what was escaped as it was sent."""
        return unescape_row(row)

    @classmethod
    def is_sound(cls, row: Raw, fields: Iterable[str] | None = None) -> bool:
        """Whether a row whose fields are of the right types may be worked with; as far as these
        fields go, None for all of them."""
        return True

    @classmethod
    async def find_by_id(cls, document_id: Any, session: Session = None) -> Self | None:
        """The document with this id; None where there is none, or no id."""
        row = (
            None
            if document_id is None
            else await cls.raw().find_one({"_id": document_id}, session=session)
        )
        return None if row is None else cls.from_stored(row)

    @classmethod
    async def list_newest(
        cls, where: Mapping[str, Any], limit: int, before: ObjectId | None = None
    ) -> list[Raw]:
        """The stored rows that match, the newest id first; those before an id, where one is
        given."""
        query = {**where, "_id": {**where.get("_id", {}), "$lt": before}} if before else where
        return await cls.raw().find(query).sort("_id", -1).limit(limit).to_list()

    @classmethod
    async def earliest(cls, field: str, where: Mapping[str, Any] | None = None) -> datetime | None:
        """The earliest time in a stored field, of the rows that match; None where there is none."""
        query = {**(where or {}), field: {"$gt": datetime.fromtimestamp(0, UTC)}}
        row = await cls.raw().find_one(query, {field: 1}, sort=[(field, 1)])
        return None if row is None else row[field]

    @classmethod
    async def fetch(
        cls, ids: Iterable[Any], session: Session = None, fields: Iterable[str] | None = None
    ) -> dict[Any, Raw]:
        """The stored rows with these ids, by id, however many; with these fields only, where some
        are named."""
        found: dict[Any, Raw] = {}
        wanted, shown = list(ids), None if fields is None else dict.fromkeys(fields, 1)
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            where: Raw = {"_id": {"$in": wanted[start : start + _IDS_AT_ONCE]}}
            found |= {
                row["_id"]: row async for row in cls.raw().find(where, shown, session=session)
            }
        return found

    async def add(self, session: Session = None) -> Self:
        """Insert the document and give it its id.

        Raises:
            pymongo.errors.DuplicateKeyError: a unique value is taken.
        """
        row = self.stored()
        row.setdefault("_id", ObjectId())
        await self.raw().insert_one(row, session=session)
        self.id = row["_id"]
        return self

    @classmethod
    async def change(
        cls,
        where: Mapping[str, Any],
        fields: Mapping[str, Any],
        *,
        expected: int | None = None,
        session: Session = None,
    ) -> Self | None:
        """Set stored fields and move the version on, in one atomic operation.

        Args:
            where: filter on stored names that names one document.
            fields: new values by stored name; None removes the field.
            expected: the version that the document must still have.

        Returns:
            The document as it is now, or None where no document matches.
        """
        query = dict(where) if expected is None else {**where, "version": expected}
        kept = escape_row({name: value for name, value in fields.items() if value is not None})
        update: Raw = {"$set": {**kept, "updatedAt": now()}, "$inc": {"version": 1}}
        if gone := {name: "" for name, value in fields.items() if value is None}:
            update["$unset"] = gone
        row = await cls.raw().find_one_and_update(
            query, update, return_document=ReturnDocument.AFTER, session=session
        )
        return None if row is None else cls.from_stored(row)
