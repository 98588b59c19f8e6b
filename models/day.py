"""Day documents: what happened on one day (UTC) in slots of 15 minutes, from which any timezone's
buckets are made.

Counts are arrays of little-endian integers, people are Roaring bitmaps of person numbers. Every
writer is a transaction that has read the document before.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar, Final

from beanie import PydanticObjectId
from pydantic import Field

from models.app import AppId
from models.base import Raw, Session, Timestamp
from models.checked import (
    Check,
    Checked,
    are_counts,
    are_sets,
    are_slots,
    is_count,
    is_stamp,
    is_text,
    is_time,
    packs,
)

SLOTS: Final = 96
_OF_DAY: Final[Mapping[str, Check]] = {"appId": is_text, "day": is_time}
LEVELS: Final = (1, 4, 24, 96)
"""How many slots one set of people covers, by level: a quarter of an hour, an hour, six hours, the
day."""


class DayOfApp(Checked):
    """A day of an app. `_id` begins with the day, so that days are found by ranges of it."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId
    day: Timestamp

    @classmethod
    async def span(
        cls,
        start: datetime,
        end: datetime,
        where: Raw,
        fields: Iterable[str],
        session: Session = None,
    ) -> list[Raw]:
        """Documents of the days from `start` up to but not including `end`, with these fields
        only."""
        query: Raw = {**where, "day": {"$gte": start, "$lt": end}}
        names = list(fields)
        cursor = cls.raw().find(
            query, {"_id": 0, **dict.fromkeys(names, 1)}, session=session, batch_size=5000
        )
        return cls.sound(await cursor.to_list(), names)


class CountDay(DayOfApp):
    """How often one event happened in one category: `counts` has a 32-bit integer a slot."""

    CHECKS: ClassVar[Mapping[str, Check]] = {
        **_OF_DAY,
        "eventName": is_text,
        "eventCategory": is_text,
        "counts": packs(SLOTS),
    }
    event_name: str
    event_category: str
    counts: bytes

    class Settings:
        name = "countdays"


class PeopleDay(DayOfApp):
    """Who was there: `sets` is slot group -> Roaring bitmap, at one level of `LEVELS`.

    `scope` is `*` for any event, `c:<category>`, or `n:<category>/<event name>`. Every write sets a
    new `stamp`, by which readers tell that they know the document; one from before there were
    stamps has none, and is read each time.
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {
        **_OF_DAY,
        "scope": is_text,
        "level": lambda level: is_count(level) and level < len(LEVELS),
        "sets": are_sets,
        "stamp": is_stamp,
    }
    scope: str
    level: int
    sets: dict[str, bytes]
    stamp: PydanticObjectId | None = None

    class Settings:
        name = "peopledays"

    @classmethod
    async def stamps(
        cls, start: datetime, end: datetime, where: Raw, session: Session = None
    ) -> list[Raw]:
        """`appId`, `day`, `scope`, `stamp` of documents of one level, read from the index alone."""
        query: Raw = {**where, "day": {"$gte": start, "$lt": end}}
        fields = {"_id": 0, "appId": 1, "day": 1, "scope": 1, "stamp": 1}
        rows = await cls.raw().find(query, fields, session=session, batch_size=5000).to_list()
        return cls.sound(rows, fields)


class PropertyDay(DayOfApp):
    """How often a declared property of an event had which value: the most frequent `values`, in
    that order.

    `totals` has a 64-bit integer for each, `slots` its packed counts; `counts` has those of all
    values, 32 bits a slot. The values `outside` of the list are `PropertyValue`s, each of which
    came `bound` times at most. Where the list is `capped` they are not kept. One that is `due` is
    to be counted anew.
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {
        **_OF_DAY,
        "eventName": is_text,
        "eventCategory": is_text,
        "property": is_text,
        "values": lambda values: isinstance(values, list) and all(map(is_text, values)),
        "totals": are_counts,
        "slots": lambda slots: isinstance(slots, list) and all(map(are_slots, slots)),
        "counts": packs(SLOTS),
        "outside": is_count,
        "bound": is_count,
    }
    event_name: str
    event_category: str
    property: str
    values: list[str]
    totals: bytes
    slots: list[bytes]
    counts: bytes
    outside: int = 0
    bound: int = 0
    capped: bool | None = None
    due: bool | None = None

    class Settings:
        name = "propertydays"

    @classmethod
    async def properties(cls) -> list[str]:
        """Every property by which there is a day, declared or not any more."""
        named = {"$match": {"property": {"$gt": ""}}}
        cursor = await cls.raw().aggregate([named, {"$group": {"_id": "$property"}}])
        return sorted([row["_id"] async for row in cursor])

    @classmethod
    def is_sound(cls, row: Raw, fields: Iterable[str] | None = None) -> bool:
        """There is a total, and slots where they are read, for each value besides."""
        if not super().is_sound(row, fields):
            return False
        values, totals, slots = (row.get(name) for name in ("values", "totals", "slots"))
        if values is None:
            return True
        return (totals is None or len(totals) == 8 * len(values)) and (
            slots is None or len(slots) == len(values)
        )


class PropertyValue(DayOfApp):
    """How often one value came that is not among the most frequent of its property day; `group`
    names that day."""

    CHECKS: ClassVar[Mapping[str, Check]] = {
        "group": is_text,
        "value": is_text,
        "total": is_count,
        "slots": are_slots,
    }
    group: str
    value: str
    total: int
    slots: bytes

    class Settings:
        name = "propertyvalues"

    @classmethod
    async def most_frequent(cls, group: str, limit: int, session: Session = None) -> list[Raw]:
        """The most frequent values of a property day that are not listed there; equally frequent
        ones by their text."""
        order = [("total", -1), ("value", 1)]
        fields = {"value": 1, "total": 1, "slots": 1}
        cursor = cls.raw().find({"group": group}, fields, session=session)
        return cls.sound(await cursor.sort(order).limit(limit).to_list(), fields)


class SessionDay(DayOfApp):
    """Sessions by the slot of their first event: how many, how long in milliseconds, their events,
    single-event ones.

    Arrays of 64-bit integers.
    """

    CHECKS: ClassVar[Mapping[str, Check]] = {
        **_OF_DAY,
        **dict.fromkeys(("sessions", "duration", "events", "bounces"), packs(SLOTS, "Q")),
    }
    sessions: bytes
    duration: bytes
    events: bytes
    bounces: bytes

    class Settings:
        name = "sessiondays"
