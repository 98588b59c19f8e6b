"""Reading analytics: day documents and what came in since they were written, seen at one moment of
the database.

Rollups hold what came in before `asOf`; what came in since, the unrolled events, is counted on top.
Edges of a span that are no whole slots are counted from raw events. All is read in one snapshot, so
that nothing is counted twice or missed while the worker moves on.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.analytics.query.known_sets import KnownSets
from app.analytics.query.periods import Period
from app.analytics.rollup.advance import quick_events
from app.analytics.rollup.delta import FIELDS
from app.analytics.rollup.slots import EPOCH, day_start, milliseconds
from app.analytics.rollup.sound import countable
from app.database import client
from app.errors import Invalid
from models.analytics import Analytics
from models.base import Raw, now
from models.day import SLOTS
from models.rollup_state import RollupState

MOST_UNROLLED: Final = 50_000
MOST_RAW: Final = 100_000
"""So many raw events at most is an answer counted from, where rollups cannot tell: some three
seconds."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a query counts; None for any."""

    app_id: str | None = None
    user_id: ObjectId | None = None
    event_name: str | None = None
    event_category: str | None = None

    @property
    def raw(self) -> Raw:
        """The same as a filter on events."""
        where = {
            "appId": self.app_id,
            "userId": self.user_id,
            "eventName": self.event_name,
            "eventCategory": self.event_category,
        }
        return {name: value for name, value in where.items() if value is not None}

    @property
    def days(self) -> Raw:
        """The same as a filter on day documents of events."""
        return {name: value for name, value in self.raw.items() if name != "userId"}

    @property
    def app(self) -> Raw:
        """The app alone."""
        return {} if self.app_id is None else {"appId": self.app_id}


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh an answer is: exact for all that came in up to `exact_to`.

    `waiting` is when the first event came in that is not in the rollups; None where all are.
    """

    exact_to: datetime
    waiting: datetime | None
    at: datetime

    @property
    def staleness(self) -> float:
        """Seconds by which the answer is behind; zero where the unrolled events are counted too."""
        return max(0.0, (self.at - self.exact_to).total_seconds())

    @property
    def lag(self) -> float:
        """Seconds that the first event which is not in the rollups has been waiting; zero where
        none is."""
        return 0.0 if self.waiting is None else max(0.0, (self.at - self.waiting).total_seconds())


@dataclass(slots=True)
class View:
    """The state of analytics at one moment. `strangers` are people who have no number yet, and one
    for this view.

    `waiting` is when the first event came in that is not in the rollups; `known` are sets of people
    that were read before.
    """

    session: AsyncClientSession
    state: RollupState
    at: datetime
    waiting: datetime | None
    known: KnownSets = field(default_factory=KnownSets)
    complete: bool = True
    strangers: dict[str, int] = field(default_factory=dict)
    raw_read: int = 0
    _unrolled: dict[Any, list[Raw]] = field(default_factory=dict)

    @property
    def freshness(self) -> Freshness:
        """How fresh what was read through this view is."""
        return Freshness(self.at if self.complete else self.state.as_of, self.waiting, self.at)

    @property
    def exact(self) -> Freshness:
        """How fresh an answer is that was counted from raw events."""
        return Freshness(self.at, self.waiting, self.at)

    async def unrolled_rows(self, period: Period, which: Filter) -> list[Raw]:
        """The events of a period that have to be counted one by one: the unrolled ones, and the
        edges that are no whole slots.

        Of one user, these are all of them: rollups do not tell users apart.
        """
        if which.user_id is not None:
            where = {**which.raw, "timestamp": {"$gte": period.start, "$lt": period.end}}
            return await self.raw_rows(where, FIELDS)
        rows = await self._unrolled_of(period, which, FIELDS)
        limit = milliseconds(self.state.as_of)
        edges = await self._edge_rows(period, which, FIELDS)
        return rows + [row for row in edges if milliseconds(row["receivedAt"]) < limit]

    async def edge_rows(self, period: Period, which: Filter) -> list[Raw]:
        """The events, with their data, of the edges of a period that are no whole slots, the
        unrolled ones among them."""
        rows = await self._edge_rows(period, which, {**FIELDS, "eventData": 1})
        limit = milliseconds(self.state.as_of)
        return [row for row in rows if self.complete or milliseconds(row["receivedAt"]) < limit]

    async def _edge_rows(self, period: Period, which: Filter, fields: Raw) -> list[Raw]:
        rows: list[Raw] = []
        for start, end in period.edges():
            where = {**which.raw, "timestamp": {"$gte": start, "$lt": end}}
            rows += await self.raw_rows(where, {**fields, "receivedAt": 1})
        return rows

    async def countable_rows(self, period: Period, which: Filter) -> list[Raw]:
        """The events to count one by one; by the minute, these are all."""
        if period.interval == "minute" and which.user_id is None:
            return await self.all_rows(period, which)
        return await self.unrolled_rows(period, which)

    async def all_rows(self, period: Period, which: Filter, parameter: str = "?from") -> list[Raw]:
        """Every raw event of a period; `parameter` is what would make it shorter."""
        where = {**which.raw, "timestamp": {"$gte": period.start, "$lt": period.end}}
        return await self.many_rows(where, parameter)

    async def many_rows(
        self, where: Raw, parameter: str = "?from", fields: Raw = FIELDS
    ) -> list[Raw]:
        """`raw_rows` where there may be very many: these are counted first, by an index, since that
        is soon done.

        Raises:
            Invalid: there are more than are read.
        """
        found = await quick_events().count_documents(
            where, session=self.session, limit=MOST_RAW + 1
        )
        if found > MOST_RAW:
            raise _too_many(parameter)
        return await self.raw_rows(where, fields, parameter)

    async def raw_rows(self, where: Raw, fields: Raw, parameter: str = "?from") -> list[Raw]:
        """Raw events, of which one answer is counted from `MOST_RAW` at most, so that its cost is
        known.

        Raises:
            Invalid: there are more; it names the parameter.
        """
        cursor = (
            quick_events()
            .find(where, fields, session=self.session)
            .limit(MOST_RAW - self.raw_read + 1)
        )
        rows = await cursor.to_list()
        self.raw_read += len(rows)
        if self.raw_read > MOST_RAW:
            raise _too_many(parameter)
        return countable(rows, fields)

    async def all_unrolled(self, which: Filter, *, data: bool = False) -> list[Raw]:
        """Every event that came in since `asOf`, of whatever time."""
        return await self._whole_unrolled(which, {**FIELDS, **({"eventData": 1} if data else {})})

    async def _unrolled_of(self, period: Period, which: Filter, fields: Raw) -> list[Raw]:
        start, end = milliseconds(period.start), milliseconds(period.end)
        rows = await self._whole_unrolled(which, fields)
        return [row for row in rows if start <= milliseconds(row["timestamp"]) < end]

    async def _whole_unrolled(self, which: Filter, fields: Raw) -> list[Raw]:
        key = (which, "eventData" in fields)
        if key not in self._unrolled:
            where = {**which.raw, "receivedAt": {"$gte": self.state.as_of}}
            index = [("receivedAt", 1), ("appId", 1)]
            cursor = (
                quick_events()
                .find(where, fields, session=self.session, hint=index)
                .limit(MOST_UNROLLED + 1)
            )
            rows = await cursor.to_list()
            if len(rows) > MOST_UNROLLED:
                self.complete, rows = False, []  # the worker is far behind: the answer says so
            self._unrolled[key] = countable(rows, fields)
        return self._unrolled[key]


def _too_many(parameter: str) -> Invalid:
    detail = (
        f"this is counted from raw events, and there are more than {MOST_RAW}: ask for fewer of"
        " them"
    )
    return Invalid.field(parameter, "too_many", detail)


@asynccontextmanager
async def opened_view(known: KnownSets | None = None) -> AsyncIterator[View]:
    """A view of the present: every read of it sees the database at the same moment.

    Args:
        known: what sets of people were read before; None where nothing is known.
    """
    async with client().start_session(snapshot=True) as session:
        at = now()
        state = await RollupState.read(session)
        waiting = await Analytics.first_received(state.as_of, session)
        yield View(session, state, at, waiting, KnownSets() if known is None else known)


def day_moments(first: int, last: int) -> tuple[datetime, datetime]:
    """Midnights (UTC) of two days counted from 1970."""
    return day_start(first), day_start(last)


def day_range(period: Period) -> tuple[datetime, datetime]:
    """The days (UTC) that hold a period's whole slots, the last one exclusive."""
    first, last = period.buckets[0].slots[0], max(bucket.slots[1] for bucket in period.buckets)
    return day_start(first // SLOTS), day_start(-(-last // SLOTS))


def whole_slots(period: Period) -> Iterator[tuple[int, int, int, int]]:
    """Which slots of which day belong to which bucket: bucket number, day, first slot, last slot
    exclusive."""
    for number, bucket in enumerate(period.buckets):
        at, last = bucket.slots
        while at < last:
            day, slot = divmod(at, SLOTS)
            end = min(last, (day + 1) * SLOTS)
            yield number, day, slot, slot + end - at
            at = end


def day_number(moment: datetime) -> int:
    """The day (UTC) that a moment is in, counted from 1970."""
    return (moment - EPOCH).days
