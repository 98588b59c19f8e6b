"""Putting events in: one alone goes with others that come in the same turn, several go in a
transaction of their own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database.loader import Loader
from app.errors import Unavailable
from app.relations.leases import Leases
from models.analytics import Analytics, DuplicateMessages
from models.base import Raw, now
from models.user import User

_TOGETHER: Final = 64
_IN_TIME: Final = timedelta(seconds=5)
_TOO_LATE: Final = "the same events are being stored by other requests"


class UserGone(Exception):
    """A user was deleted since the lease was held."""


@dataclass(eq=False, frozen=True, slots=True)
class _Single:
    """An event that is alone in its request, and the users that it names."""

    row: Raw
    users: frozenset[ObjectId]


class Inserts:
    """Puts rows of events in, for the requests of one process.

    Args:
        leases: of the process.
        seconds: how long a single event may take.
    """

    def __init__(self, leases: Leases, seconds: float) -> None:
        self._leases = leases
        self._singles: Loader[_Single, Exception | int] = Loader(
            self._insert_singles, seconds, most=_TOGETHER
        )

    async def insert_single(self, row: Raw, users: Collection[ObjectId]) -> int:
        """Insert one event, each by its own luck where several go together; 1, or 0 where it is
        stored already.

        Raises:
            UserGone: one of the users is not there.
            Unavailable: the rollups, which go by `receivedAt`, might have passed.
        """
        outcome = await self._singles.get(_Single(row, frozenset(users)))
        if isinstance(outcome, DuplicateMessages):
            return 0
        if isinstance(outcome, Exception):
            raise outcome
        return 1

    async def insert_new(
        self,
        rows: Sequence[Raw],
        users: Collection[ObjectId],
        session: AsyncClientSession,
        *,
        look: bool,
    ) -> int:
        """Insert what is not stored; how many that is.

        Args:
            rows: of a request.
            users: that they name.
            session: of the transaction.
            look: which are stored already. The first try does not, since events are seldom sent
                twice.

        Raises:
            DuplicateMessages: one is stored, and the transaction is over.
            UserGone, Unavailable: as above.
        """
        new = await Analytics.without_stored(rows, session=session) if look else rows
        if new:
            if await self._leases.hold_many(User, users):
                raise UserGone
            if not _is_in_time(new[0]):
                raise Unavailable(_TOO_LATE)
            await Analytics.insert_rows(new, session=session)
        return len(new)

    async def _insert_singles(
        self, singles: Sequence[_Single]
    ) -> Mapping[_Single, Exception | int]:
        """Insert those that may be, by one command: why each was not stored, or 1."""
        gone = await self._gone({user for single in singles for user in single.users})
        outcomes: dict[_Single, Exception | int] = {}
        for single in singles:
            if gone & single.users:
                outcomes[single] = UserGone()
            elif not _is_in_time(single.row):
                outcomes[single] = Unavailable(_TOO_LATE)
        leased = [single for single in singles if single not in outcomes]
        errors = await Analytics.insert_each([single.row for single in leased])
        stored = zip(leased, errors, strict=True)
        return outcomes | {single: 1 if error is None else error for single, error in stored}

    async def _gone(self, users: set[ObjectId]) -> set[ObjectId]:
        """Those who are not there; the leases of the others are held now."""
        gone: set[ObjectId] = set()
        while more := await self._leases.hold_many(User, users - gone):
            gone |= more
        return gone


def _is_in_time(row: Raw) -> bool:
    """To be asked just before rows go in, in each run of a transaction, since others may have had
    it wait."""
    received: datetime = row["receivedAt"]
    return now() - received <= _IN_TIME
