"""Putting events in: one that is alone in its request goes with others by one command, those of a
batch go with other batches in one transaction."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import pymongo
from bson import ObjectId
from cachetools import TTLCache
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure, PyMongoError

from app.database import transaction
from app.database.loader import Loader
from app.errors import Problem, Unavailable
from app.relations.leases import Leases
from models.analytics import Analytics, DuplicateMessages
from models.base import WRITE_CONFLICT, Raw, now
from models.user import User

_TOGETHER: Final = 64
_BATCHES: Final = 16
_LARGE_AT_ONCE: Final = 6  # of a pool's ten connections: each has one when it commits, too
_EVENTS: Final = 400
"""Of the batches of one transaction together."""
_IN_TIME: Final = timedelta(seconds=5)
_TOO_LATE: Final = "the same events are being stored by other requests"
_COMPANY_SECONDS: Final = 1.0
"""After which a command of many events is taken for held up by one of them."""
_APART_SECONDS: Final = 60  # in which the database ends a transaction whose process was killed
_MOST_APART: Final = 10_000


_Message = tuple[str, str | None]
"""An event's app and `messageId`."""


class UserGone(Exception):
    """A user was deleted since the lease was held."""


@dataclass(eq=False, frozen=True, slots=True)
class _Single:
    """An event that is alone in its request, and the users that it names."""

    row: Raw
    users: frozenset[ObjectId]


@dataclass(eq=False, frozen=True, slots=True)
class _Batch:
    """The new events of a request, and the users that they name."""

    rows: Sequence[Raw]
    users: frozenset[ObjectId]


class Inserts:
    """Puts rows of events in, for the requests of one process.

    Args:
        leases: of the process.
        seconds: how long a single event may take.

    Attributes:
        most_in_company: of more events a transaction is large enough, and others only wait for it.
    """

    most_in_company: Final = _EVENTS // 2

    def __init__(self, leases: Leases, seconds: float) -> None:
        self._leases = leases
        self._singles: Loader[_Single, Exception | int | None] = Loader(
            self._insert_company, seconds, most=_TOGETHER
        )
        self._alone: Loader[_Single, Exception | int | None] = Loader(
            self._insert_singles, seconds, most=1
        )
        self._apart: TTLCache[_Message, bool] = TTLCache(_MOST_APART, _APART_SECONDS)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._batches: Loader[_Batch, Exception | int] = Loader(
            self._insert_batches,
            seconds,
            most=_BATCHES,
            weigh=(lambda batch: len(batch.rows), _EVENTS),
        )

    async def insert_single(self, row: Raw, users: Collection[ObjectId]) -> int:
        """Insert one event, each by its own luck where several go together; 1, or 0 where it is
        stored already. One that holds others up goes alone, and those go again without it.

        Raises:
            UserGone: one of the users is not there.
            Unavailable: the rollups, which go by `receivedAt`, might have passed.
        """
        single, outcome = _Single(row, frozenset(users)), None
        ways, is_again = (self._singles, self._alone), False
        while (outcome := await ways[_message(row) in self._apart].get(single)) is None:
            is_again = True
        if isinstance(outcome, DuplicateMessages):
            return len(await Analytics.stored_ids([row["_id"]])) if is_again else 0
        if isinstance(outcome, Exception):
            raise outcome
        return 1

    async def insert_batch(self, rows: Sequence[Raw], users: Collection[ObjectId]) -> int:
        """Insert the events of a request, all or none, together with those of others; how many.

        Raises:
            DuplicateMessages: one of these or of the others is stored already, or being stored, and
                nothing is done.
            UserGone: one of the users is not there.
            Unavailable: as above.
            pymongo.errors.PyMongoError: the transaction failed.
        """
        outcome = await self._batches.get(_Batch(rows, frozenset(users)))
        if isinstance(outcome, Exception):
            raise outcome
        return len(rows)

    async def insert_alone(
        self, rows: Sequence[Raw], users: Collection[ObjectId], *, look: bool
    ) -> int:
        """Insert the events of a request that are not stored yet, all or none; how many that is.

        Args:
            rows: of the request.
            users: that they name.
            look: which are stored already. The first try does not, since events are seldom sent
                twice.

        Raises:
            DuplicateMessages: one is stored, and nothing is done.
            UserGone, Unavailable, pymongo.errors.PyMongoError: as above.
        """
        work = partial(self._insert_new, rows, users, look=look)
        if len(rows) <= self.most_in_company:
            return await transaction(work)
        async with self._large:
            return await transaction(work)

    async def _insert_new(
        self,
        rows: Sequence[Raw],
        users: Collection[ObjectId],
        session: AsyncClientSession,
        *,
        look: bool,
    ) -> int:
        new = await Analytics.without_stored(rows, session=session) if look else rows
        if new:
            if await self._leases.hold_many(User, users):
                raise UserGone
            if not _is_in_time(new[0]):
                raise Unavailable(_TOO_LATE)
            await Analytics.insert_rows(new, session=session)
        return len(new)

    async def _insert_company(
        self, singles: Sequence[_Single]
    ) -> Mapping[_Single, Exception | int | None]:
        """Insert those that may be; None of those that have to come again, since the database did
        not get to them: the first is taken for who held it up, by a `messageId` that a transaction
        has whose process was killed, and is let go in company no more."""
        if len(singles) == 1:
            return await self._insert_singles(singles)
        with pymongo.timeout(_COMPANY_SECONDS):
            outcomes = await self._insert_singles(singles)
        late = [single for single, outcome in outcomes.items() if _is_late(outcome)]
        stored = await Analytics.stored_ids([single.row["_id"] for single in late]) if late else ()
        left = [single for single in late if single.row["_id"] not in stored]
        named = [single for single in left if "messageId" in single.row]
        self._apart.update((_message(single.row), True) for single in named[:1])
        return {**outcomes, **dict.fromkeys(late, 1), **dict.fromkeys(left, None)}

    async def _insert_singles(
        self, singles: Sequence[_Single]
    ) -> Mapping[_Single, Exception | int]:
        """Insert those that may be, by one command: why each was not stored, or 1."""
        users = {user for single in singles for user in single.users}
        gone = await self._leases.hold_living(User, users)
        outcomes: dict[_Single, Exception | int] = {}
        for single in singles:
            if hindrance := _hindrance(single.row, single.users & gone):
                outcomes[single] = hindrance
        leased = [single for single in singles if single not in outcomes]
        errors = await Analytics.insert_each([single.row for single in leased])
        stored = zip(leased, errors, strict=True)
        return outcomes | {single: 1 if error is None else error for single, error in stored}

    async def _insert_batches(self, batches: Sequence[_Batch]) -> Mapping[_Batch, Exception | int]:
        """Insert those that may be in one transaction: why each was not stored, or 1."""
        users = {user for batch in batches for user in batch.users}
        outcomes: dict[_Batch, Exception | int] = {}

        async def insert(session: AsyncClientSession) -> None:
            gone = await self._leases.hold_living(User, users)
            for batch in batches:
                outcomes[batch] = _hindrance(batch.rows[0], batch.users & gone) or 1
            leased = [row for batch in batches if outcomes[batch] == 1 for row in batch.rows]
            if leased:
                with _held_is_stored():
                    await Analytics.insert_rows(leased, session=session)

        try:
            await transaction(insert)
        except (DuplicateMessages, PyMongoError, Problem) as error:
            return dict.fromkeys(batches, error)
        return outcomes


@contextmanager
def _held_is_stored() -> Iterator[None]:
    """What another transaction is storing goes for stored: its own request waits for it alone, and
    not its company."""
    try:
        yield
    except OperationFailure as error:
        if error.code != WRITE_CONFLICT:
            raise
        raise DuplicateMessages from None


def _message(row: Raw) -> _Message:
    return row["appId"], row.get("messageId")


def _is_late(outcome: Exception | int) -> bool:
    return isinstance(outcome, PyMongoError) and outcome.timeout


def _hindrance(row: Raw, gone: Collection[ObjectId]) -> Exception | None:
    """Why the events that begin with this row cannot be stored now."""
    if gone:
        return UserGone()
    return None if _is_in_time(row) else Unavailable(_TOO_LATE)


def _is_in_time(row: Raw) -> bool:
    """To be asked just before rows go in, in each run of a transaction, since others may have had
    it wait."""
    received: datetime = row["receivedAt"]
    return now() - received <= _IN_TIME
