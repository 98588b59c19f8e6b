"""The client app: its id and its settings. An app needs no registration in development."""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, PlainValidator
from pydantic_core import PydanticKnownError

from models.aside import read_all
from models.base import Fields, Raw, Stored, Timestamp

NAME_PATTERN: Final = r"^(?:\.{0,2}[A-Za-z0-9_~:-]|\.{3})[A-Za-z0-9._~:-]{0,255}$"
"""Neither `.` nor `..`, which URL parsers take out of a path (RFC 3986, section 5.2.4), so no
browser reaches them."""
NAME_LENGTH: Final = 256
NAME_RULE: Final = "1 to 256 characters of [A-Za-z0-9._~:-], and is neither . nor .."
AppId = Annotated[
    str, Field(pattern=NAME_PATTERN, max_length=NAME_LENGTH, description="Id of a client app.")
]
DataKey = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        max_length=NAME_LENGTH,
        description="Key of a value among an app's data.",
    ),
]
QueryName = Annotated[str, Field(pattern=NAME_PATTERN, max_length=NAME_LENGTH)]
KeyPattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9._~:-]{0,255}(?:\*|[A-Za-z0-9._~:-])$")]
"""A key, or the beginning of keys and `*`."""
_NAME: Final = re.compile(NAME_PATTERN)


def _schema(value: Any) -> dict[str, Any] | bool:
    """An object, true or false: one error where it is none, as it is one thing."""
    if isinstance(value, dict | bool):
        return value
    raise PydanticKnownError("dict_type")


JsonSchema = Annotated[
    dict[str, Any] | bool, PlainValidator(_schema, json_schema_input_type=dict[str, Any] | bool)
]


def is_name(text: str) -> bool:
    """Whether a text may be an app's id or a value's key."""
    return len(text) <= NAME_LENGTH and _NAME.fullmatch(text) is not None


_Bound = Annotated[int, Field(ge=0, le=2**53, strict=True)]


class Quota(Fields):
    """How much an app may keep of one person; of what is left out, anything."""

    bytes: Annotated[
        _Bound | None, Field(description="Of the JSON of all live values together.")
    ] = None
    keys: Annotated[_Bound | None, Field(description="Live values.")] = None


class QueryKey(Fields):
    """What a query sorts by."""

    pointer: Annotated[
        str,
        Field(
            pattern=r"^(?:/(?:[^~/]|~[01])*)*$",
            max_length=256,
            description="JSON Pointer into the value; the empty one names the value itself.",
        ),
    ]
    order: Literal["asc", "desc"] = "asc"


class DeclaredQuery(Fields):
    """A query that is answered from an index: the values whose keys start alike, sorted by what
    pointers name."""

    prefix: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9._~:-]{0,256}$", description="Of the keys; all if left out."),
    ] = ""
    by: Annotated[
        list[QueryKey],
        Field(min_length=1, max_length=4, description="The first goes before the next."),
    ]


class AppContent(Fields):
    """An app's settings."""

    name: Annotated[str, Field(max_length=255)] | None = None
    require_version: Annotated[
        bool, Field(description="Answer 428 to a write of app data that has no precondition.")
    ] = False
    analytics_retention_days: Annotated[
        int | None,
        Field(
            ge=1,
            le=3650,
            description=(
                "Raw events are archived after this many days; None: the deployment's setting."
            ),
        ),
    ] = None
    analytics_properties: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]],
        Field(
            max_length=10,
            description=(
                "Properties of `eventData` by whose values events are broken down (`/top`)."
            ),
        ),
    ] = Field(default_factory=list)
    identify_traits: Annotated[
        list[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]],
        Field(
            max_length=16,
            description="Traits that `identify` writes into the profile's `metadata`.",
        ),
    ] = Field(default_factory=list)
    history: Annotated[
        int,
        Field(
            ge=0,
            le=50,
            description=(
                "Former versions of each value that are kept, as many of them as fit 1 MiB. A value"
                " that is deleted or expires is among them."
            ),
        ),
    ] = 0
    schemas: Annotated[
        dict[KeyPattern, JsonSchema],
        Field(
            max_length=50,
            description=(
                "JSON Schemas (2020-12) of the values, by key, or by the beginning of keys and `*`:"
                " `settings`, `task:*`, `*`. The key itself goes before the longest beginning. A"
                " value that does not fit is 422."
            ),
        ),
    ] = Field(default_factory=dict)
    quota: Annotated[
        Quota | None,
        Field(
            description=(
                "How much the app may keep of one person: what makes it more is 507. Former"
                " versions are free."
            )
        ),
    ] = None
    tombstone_days: Annotated[
        int,
        Field(
            ge=1,
            le=3650,
            description=(
                "How long it is known that a value was deleted: a client that was away for longer"
                " lists anew."
            ),
        ),
    ] = 30
    queries: Annotated[
        dict[QueryName, DeclaredQuery],
        Field(
            max_length=8,
            description=(
                "Queries by name, for `GET ../data?query=`. A new one is built within a minute or,"
                " where much is stored, more; until then it is 409 `index_building`."
            ),
        ),
    ] = Field(default_factory=dict)


class App(AppContent, Stored):
    """A registered client app; `_id` is the app id that its data carries."""

    GUARDED: ClassVar[bool] = True

    id: AppId = Field(alias="_id")  # type: ignore[assignment]
    queries_ready: Annotated[
        list[str], Field(description="Ids of the definitions of queries that are built.")
    ] = Field(default_factory=list)
    queries_changed_at: Annotated[
        Timestamp | None,
        Field(description="When settings with queries were put; gone when nothing is to be built."),
    ] = None
    queries_again: Annotated[
        bool,
        Field(
            description=(
                "Whether rows are to be looked at once more, for writes that took very long."
            )
        ),
    ] = False

    class Settings:
        name = "apps"

    @classmethod
    async def find_histories(cls, app_ids: Collection[str]) -> dict[str, int]:
        """How many former versions these apps keep, by app id; those that keep none are left
        out."""
        where = {"_id": {"$in": list(app_ids)}, "history": {"$gt": 0}}
        return (
            {row["_id"]: row["history"] async for row in cls.raw().find(where, {"history": 1})}
            if app_ids
            else {}
        )

    @classmethod
    async def find_tombstone_days(cls, app_ids: Collection[str]) -> dict[str, int]:
        """How many days these apps keep tombstones, by app id; those with no setting of their own
        are left out."""
        rows = cls.raw().find({"_id": {"$in": list(app_ids)}}, {"tombstoneDays": 1})
        return {row["_id"]: row["tombstoneDays"] async for row in rows if "tombstoneDays" in row}

    @classmethod
    async def find_changed_queries(cls, limit: int) -> list[Self]:
        """The apps whose queries are to be built, or to be looked at once more, those that wait
        longest first."""
        where = {"queriesChangedAt": {"$gt": datetime.fromtimestamp(0, UTC)}}
        rows = await cls.raw().find(where).sort("queriesChangedAt", 1).limit(limit).to_list()
        return read_all(cls, rows)

    async def note_queries(self, ready: Collection[str], *, again: bool) -> None:
        """Note which queries are built, unless the settings were put anew meanwhile; `again` leaves
        it to be done."""
        fields: Raw = {"queriesReady": list(ready), "queriesAgain": again}
        gone = {} if again else {"$unset": {"queriesChangedAt": ""}}
        where = {
            "_id": self.id,
            "version": self.version,
            "queriesChangedAt": self.queries_changed_at,
        }
        await self.raw().update_one(where, {"$set": fields, **gone})
