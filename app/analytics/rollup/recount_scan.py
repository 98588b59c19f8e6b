"""The events of a part of a day, read in batches outside a transaction, and the proof within one
that they still are.

A transaction sees one moment, but must not last; a scan may last, but sees no one moment. So a part
is scanned first, up to where the rollups were then. In the transaction that compares, the events
that the rollups took in since are taken in, too, and the events are counted by an index: an event
that went meanwhile makes the numbers differ.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.analytics.rollup.advance import MovedOnError, quick_events
from app.analytics.rollup.delta import FIELDS, Delta
from app.analytics.rollup.slots import archived_id, milliseconds
from app.database import transaction
from models.analytics import Analytics
from models.aside import ROW_FAULTS, tell
from models.base import Raw
from models.rollup_state import RollupState
from models.seal import WRITING, ArchivedDay

BY_TIME: Final = [("appId", 1), ("timestamp", -1)]
"""The index by which a part of a day is found."""
_BY_RECEIPT: Final = [("receivedAt", 1), ("appId", 1)]
_AT_ONCE: Final = 5_000
_TRIES: Final = 20

Mended = dict[str, set[Any]]
"""Collection -> the ids of the documents that differed."""
Work = Callable[[RollupState, AsyncClientSession], Awaitable[tuple[Mended, int]]]
"""Compares and mends. Returns what differed, and the next free number of a person."""


class DayArchivedError(Exception):
    """The day's files are written: its events are removed or being removed."""


class ScanChangedError(Exception):
    """Events went while a part was scanned: scan it again."""


class FurtherEventsError(Exception):
    """The rollups took in more events of the part since it was scanned."""

    def __init__(self, rows: list[Raw], as_of: datetime) -> None:
        super().__init__(f"{len(rows)} events")
        self.rows, self.as_of = rows, as_of


@dataclass(slots=True)
class Scan:
    """What the events of a span say that came in before `as_of`; `events` is how many there are."""

    app_id: str
    span: tuple[datetime, datetime]
    as_of: datetime
    properties: Sequence[str] = ()
    delta: Delta = field(default_factory=Delta)
    events: int = 0

    @classmethod
    async def of(
        cls, app_id: str, start: datetime, end: datetime, properties: Sequence[str] = ()
    ) -> "Scan":
        """Scan a span, for the values of these properties too."""
        scan = cls(app_id, (start, end), (await RollupState.read()).as_of, properties)
        limit = milliseconds(scan.as_of)
        async for row in quick_events().find(
            scan.where, scan.fields, batch_size=_AT_ONCE, hint=BY_TIME
        ):
            scan._take(row, limit)
        return scan

    @property
    def where(self) -> Raw:
        """The filter of the span's events."""
        return {"appId": self.app_id, "timestamp": {"$gte": self.span[0], "$lt": self.span[1]}}

    @property
    def fields(self) -> Raw:
        """What is read of an event."""
        return {**FIELDS, "receivedAt": 1, **({"eventData": 1} if self.properties else {})}

    def _take(self, row: Raw, limit: int) -> None:
        try:
            if milliseconds(row["receivedAt"]) >= limit:
                return
            if self.properties:
                self.delta.add_properties(row, self.properties)
            else:
                self.delta.add(row)
        except ROW_FAULTS as error:
            tell(Analytics, row["_id"], error)
        self.events += 1

    def catch_up(self, further: FurtherEventsError) -> None:
        """Take in what the rollups took in since."""
        for row in further.rows:
            self._take(row, milliseconds(further.as_of))
        self.as_of = further.as_of

    async def confirm(self, state: RollupState, session: AsyncClientSession) -> None:
        """See that these are the events that the rollups contain.

        Raises:
            ScanChangedError: some of them are gone.
            FurtherEventsError: there are more.
        """
        since = {**self.where, "receivedAt": {"$gte": self.as_of, "$lt": state.as_of}}
        rows = (
            await quick_events()
            .find(since, self.fields, hint=_BY_RECEIPT, session=session)
            .to_list()
        )
        beyond = {**self.where, "receivedAt": {"$gte": state.as_of}}
        waiting = await Analytics.raw().count_documents(beyond, hint=_BY_RECEIPT, session=session)
        stored = await Analytics.raw().count_documents(self.where, hint=BY_TIME, session=session)
        if stored != self.events + len(rows) + waiting:
            raise ScanChangedError
        if rows:
            raise FurtherEventsError(rows, state.as_of)


ScanWork = Callable[[Scan, RollupState, AsyncClientSession], Awaitable[tuple[Mended, int]]]
"""Compares a scan that is confirmed, and mends."""


async def scanned_part(
    app_id: str,
    day: int,
    span: tuple[datetime, datetime],
    work: ScanWork,
    properties: Sequence[str] = (),
) -> tuple[Scan, Mended]:
    """Scan a part of a day, and compare it with the rollups in a transaction of its own.

    Raises:
        DayArchivedError: there is nothing to compare any more.
        MovedOnError: others were faster again and again.
    """
    scan = await Scan.of(app_id, *span, properties)

    async def confirmed(state: RollupState, session: AsyncClientSession) -> tuple[Mended, int]:
        await scan.confirm(state, session)
        return await work(scan, state, session)

    for _ in range(_TRIES):
        try:
            return scan, await part(app_id, day, confirmed)
        except FurtherEventsError as further:
            scan.catch_up(further)
        except ScanChangedError:
            scan = await Scan.of(app_id, *span, properties)
    raise MovedOnError


async def part(app_id: str, day: int, work: Work) -> Mended:
    """Do a part of a recount in a transaction; where it mends something, it conflicts with the
    worker.

    Raises:
        DayArchivedError: there is nothing to compare any more.
        MovedOnError: others were faster again and again.
    """

    async def whole(session: AsyncClientSession) -> Mended:
        if await is_archived(app_id, day, session):
            raise DayArchivedError
        state = await RollupState.read(session)
        mended, following = await work(state, session)
        changed = any(mended.values()) or following != state.next_number
        if changed and not await RollupState.move(state, state.as_of, following, session):
            raise MovedOnError
        return mended

    for _ in range(_TRIES):
        try:
            return await transaction(whole)
        except DuplicateKeyError:  # the worker has inserted the same document
            continue
    raise MovedOnError


async def is_archived(app_id: str, day: int, session: AsyncClientSession | None = None) -> bool:
    """Whether a day's files are written, so that its events are removed or being removed."""
    entry = await ArchivedDay.raw().find_one(
        {"_id": archived_id(day, app_id)}, {"state": 1}, session=session
    )
    return entry is not None and entry.get("state") != WRITING
