"""Exports: everything of a person, from one snapshot, with no more than a batch in memory."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure

from app.analytics.archive.entry import parts_of as files_of
from app.analytics.archive.entry import read_part
from app.analytics.archive.files import unpack_rows
from app.analytics.archive.target import archive_target
from app.analytics.rollup.slots import DAY_MS, milliseconds
from app.database import client
from app.errors import Invalid, NotFound, TooManyRequests, Unavailable
from app.identity import trail
from app.people.out.exported import Part, parts_of, projection, shown
from app.settings import Settings
from app.web.body import dump_json
from models.analytics import Analytics
from models.aside import tell
from models.base import Raw, now, rfc3339
from models.living import is_living
from models.seal import ALL, WRITING, ArchivedDay
from models.unreadable import FAULTS
from models.user import User

BATCH: Final = 100
_AT_ONCE: Final = 8
_OF_ONE: Final = 2
"""Whoever takes theirs slowly, or not at all, leaves places for others."""
_ATTEMPTS: Final = 3
END: Final = "end"
BROKEN: Final = "incomplete"
"""The kind of the last line of an export that broke off."""
_TOO_OLD: Final = (239, 246)
Line = tuple[str, Raw]
"""Kind and document."""
Day = tuple[str, int]
"""An app and a day, counted since 1970."""


class Exports:
    """How many exports a process has under way: they hold no place in the line of requests."""

    def __init__(self) -> None:
        self.free = _AT_ONCE
        self.of: Counter[ObjectId] = Counter()

    def begin(self, user_id: ObjectId) -> "Place":
        """Take a place for an export of a person.

        Raises:
            TooManyRequests: there are enough of this person.
            Unavailable: there is none.
        """
        if self.of[user_id] >= _OF_ONE:
            raise TooManyRequests("exports of this person are under way: ask again", 10)
        if not self.free:
            raise Unavailable("as many exports as there may be are under way: ask again", 10)
        self.free -= 1
        self.of[user_id] += 1
        return Place(self, user_id)


class Place:
    """A place among the exports; given back once, at the latest when nobody has it any more: an
    answer that never began has nothing that could end."""

    def __init__(self, exports: Exports, user_id: ObjectId) -> None:
        self._exports: Exports | None = exports
        self._user_id = user_id

    def leave(self) -> None:
        """Give it back."""
        if self._exports is not None:
            self._exports.free += 1
            self._exports.of -= Counter({self._user_id: 1})  # without those who have none
            self._exports = None

    __del__ = leave


@dataclass(slots=True)
class Export:
    """One person's export.

    Attributes:
        settings: of the process.
        user_id: whose.
        archived: whether the files of the archive are looked through, too.
        counts: documents that were sent, by kind.
    """

    settings: Settings
    user_id: ObjectId
    archived: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    days: dict[Day, str] = field(default_factory=dict)
    """Days whose events are archived and no more in the database, all of them at least."""
    sent: set[ObjectId] = field(default_factory=set)
    """The events of such days that were sent."""

    async def open(self, by: str) -> None:
        """See that the person is there, and note who asks.

        Args:
            by: who.

        Raises:
            NotFound: there is no such user.
            Invalid: events are archived, and this server is not told where.
        """
        row = await User.raw().find_one({"_id": self.user_id})
        if row is None or not await is_living(User, row):
            raise NotFound("there is no such user")
        if self.archived and self.settings.analytics_archive is None:
            await _see_that_nothing_is_archived()
        await trail.record("person_exported", by, user_id=self.user_id)

    async def lines(self) -> AsyncIterator[Line]:
        """Kind and document, the user first; in the end `end`, with how many of each there were.

        Without that last one an export is not whole. Where it breaks off, the last one is
        `incomplete`, which says why.
        """
        try:
            async for line in self._lines():
                yield line
        except Exception as error:
            yield BROKEN, {"at": rfc3339(now()), "reason": _reason(error)}
            raise

    async def _lines(self) -> AsyncIterator[Line]:
        async with client().start_session(snapshot=True) as session:
            where = {"_id": self.user_id}
            row = await User.raw().find_one(where, projection(User), session=session)
            if row is None:  # deleted just now: an export without its end
                return
            yield self._line("users", shown(User, row, self.user_id))
            await self._note_days(session)
            for part in parts_of():
                async for document in self._documents(part, session):
                    yield self._line(part.kind, document)
        async for document in self._archived():  # what is archived does not change with time
            yield self._line(Analytics.collection_name(), document)
        yield END, {"at": rfc3339(now()), "documents": dict(self.counts)}

    def _line(self, kind: str, document: Raw) -> Line:
        self.counts[kind] += 1
        return kind, document

    async def _documents(self, part: Part, session: AsyncClientSession) -> AsyncIterator[Raw]:
        found = part.document.raw().find(
            part.where(self.user_id),
            projection(part.document),
            session=session,
            batch_size=BATCH,
        )
        async for row in found:
            try:
                document = part.shown(row, self.user_id)
                dump_json(document)
                is_sought = part.document is Analytics and self._is_sought(row)
            except FAULTS as error:  # the others are whole
                tell(part.document, row["_id"], error)
                continue
            if is_sought:
                self.sent.add(row["_id"])
            yield document

    def _is_sought(self, row: Raw) -> bool:
        """Whether an event's day is looked for in the archive, too."""
        return bool(self.days) and _day_of(row) in self.days

    async def _note_days(self, session: AsyncClientSession) -> None:
        """Which days to look for in the archive, as of the snapshot."""
        if not self.archived or self.settings.analytics_archive is None:
            return
        async for day in ArchivedDay.raw().find({"_id": {"$gt": ""}}, session=session):
            is_gone = any(part["stored"] != ALL for part in files_of(day))
            if is_gone and day.get("state") != WRITING:
                self.days[day["appId"], milliseconds(day["day"]) // DAY_MS] = day["_id"]

    async def _archived(self) -> AsyncIterator[Raw]:
        """Their events in the files of the archive, but those that were sent."""
        for name in self.days.values():
            async for row in self._of_day(name):
                self.sent.add(row["_id"])
                kept = {name: row[name] for name in row.keys() & projection(Analytics)}
                yield shown(Analytics, kept, self.user_id)

    async def _of_day(self, name: str) -> AsyncIterator[Raw]:
        """Their events of a day that were not sent, from its files as they are by now: with what
        others had in it erased, it has others."""
        for left in reversed(range(_ATTEMPTS)):
            day = await ArchivedDay.raw().find_one({"_id": name}) or {}
            try:
                async for row in self._of_files(files_of(day)):
                    yield row
            except FileNotFoundError:
                if not left:
                    raise
            else:
                return

    async def _of_files(self, files: list[Raw]) -> AsyncIterator[Raw]:
        archive = archive_target(self.settings)
        for part in files:
            async for rows in read_part(archive, part, unpack_rows):
                for row in rows:
                    if row.get("userId") == self.user_id and row["_id"] not in self.sent:
                        yield row


async def _see_that_nothing_is_archived() -> None:
    if await ArchivedDay.raw().find_one({"_id": {"$gt": ""}}, {"_id": 1}) is not None:
        detail = "this server does not know the archive: SATCHEL_ANALYTICS_ARCHIVE is not set"
        raise Invalid.field("?archived", "not_allowed", detail)


def _day_of(row: Raw) -> Day:
    return row["appId"], milliseconds(row["timestamp"]) // DAY_MS


def _reason(error: Exception) -> str:
    if isinstance(error, OperationFailure) and error.code in _TOO_OLD:
        return "it was read for longer than the database shows one moment: ask again"
    return "something went wrong on the way: ask again"


def line_of(kind: str, document: Raw) -> dict[str, Any]:
    """A line of an export."""
    return {"kind": kind, "document": document}
