"""Writes of values in company: those that come while another is under way go out as one command.

A command that writes one row costs the driver and the database three to five times what a row of a
larger one costs. As with loaders nobody waits for company: a write that comes alone goes alone, and
who comes while both commands are under way goes out with all the others who did.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cachetools import TTLCache
from pymongo.errors import PyMongoError

from app.database.loader import Loader
from app.errors import NotFound
from app.relations.leases import Leases
from app.web.etags import tag_of
from app.web.preconditions import holds
from models.app_data_swap import Swap, read_versions, write_each
from models.app_data_updates import NEVER, Expiry, QueryKeys
from models.app_data_values import Place
from models.app_data_written import StaleVersion, Written, written
from models.base import Raw, now
from models.precondition import Expected
from models.user import User
from models.values import Json

LARGEST: Final = 16 * 1024
"""Bytes of JSON of a value that goes in company."""
_APART_SECONDS: Final = 60  # in which the database ends a transaction whose process was killed
_MOST_APART: Final = 10_000
_NO_USER: Final = "there is no such user"


@dataclass(eq=False, frozen=True, slots=True)
class Put:
    """A value to store where a live one is.

    Attributes:
        place: user, app and key.
        expected: the precondition, None to write whatever is there.
        value: what.
        size: bytes of its JSON.
        by: who writes.
        expires_at: when it ends; None for never.
        query_keys: what the row keeps for the app's queries.
    """

    place: Place
    expected: Expected | None
    value: Json
    size: int
    by: str
    expires_at: datetime | Expiry | None
    query_keys: QueryKeys

    def swap(self, row: Raw, moment: datetime) -> Swap:
        """What replaces the row that was read: it is not older than that, however long its turn
        took."""
        changed = max(moment, row["updatedAt"])
        sets = (self.value, self.size, self.by, self.expires_at, changed)
        return Swap(self.place, row["version"], sets, self.query_keys)


_Outcome = Written | Exception | None
"""What a put did, or why it was not done; None where it has to be tried alone."""


class Swaps:
    """Stores values, for the requests of one process.

    Args:
        leases: of the process.
        seconds: how long a put may take.
    """

    def __init__(self, leases: Leases, seconds: float) -> None:
        self._leases = leases
        self._alone = 0
        self._apart: TTLCache[Place, bool] = TTLCache(_MOST_APART, _APART_SECONDS)
        self._company: Loader[Put, _Outcome] = Loader(self._store, seconds)

    async def put(self, put: Put, alone: Callable[[], Awaitable[Written]]) -> Written:
        """Store a value, in company where another is being stored.

        Args:
            put: what is to be stored.
            alone: stores it by an operation of its own.

        Raises:
            StaleVersion: the precondition does not hold.
            NotFound: the user is not there.
        """
        if self._alone and put.place not in self._apart and put.size <= LARGEST:
            outcome = await self._company.get(put)
            if isinstance(outcome, Written):
                return outcome
            if isinstance(outcome, Exception):
                raise outcome
        self._alone += 1
        try:
            return await alone()
        finally:
            self._alone -= 1

    async def _store(self, puts: Sequence[Put]) -> Mapping[Put, _Outcome]:
        """Read what there is, decide on each, and write those that may be by one command."""
        stored, moment = await read_versions([put.place for put in puts]), now()
        rows = {place: row for place, row in stored.items() if _is_live(row, moment)}
        outcomes: dict[Put, _Outcome] = {put: _refusal(put, rows.get(put.place)) for put in puts}
        ready = [put for put in puts if put.place in rows and outcomes[put] is None]
        gone = await self._leases.hold_living(User, {put.place[0] for put in ready})
        outcomes |= {put: NotFound(_NO_USER) for put in ready if put.place[0] in gone}
        leased = [put for put in ready if put.place[0] not in gone]
        swaps = [put.swap(rows[put.place], moment) for put in leased]
        errors = await write_each(swaps)
        for put, swap, error in zip(leased, swaps, errors, strict=True):
            outcomes[put] = self._outcome(put, swap, rows[put.place], error)
        return outcomes

    def _outcome(self, put: Put, swap: Swap, row: Raw, error: Exception | None) -> _Outcome:
        if error is None:
            return written(row, swap.sets[-1], put.expires_at, row["_id"], put.size, 0)
        if isinstance(error, StaleVersion):
            return error if put.expected is not None else None
        if isinstance(error, PyMongoError) and error.timeout:
            self._apart[put.place] = True  # who holds it up is not known: none shall again
        return error


def _refusal(put: Put, row: Raw | None) -> StaleVersion | None:
    """Why a put with a precondition is not done where this live row is, or none."""
    if put.expected is None or (
        row is not None
        and holds(put.expected, row["version"], tag_of(row["_id"]), row["updatedAt"])
    ):
        return None
    return StaleVersion()


def _is_live(row: Raw, moment: datetime) -> bool:
    return not row["deleted"] and row.get("expiresAt", NEVER) > moment


def swaps_of(scope: Any) -> Swaps:
    """The swaps of the application that serves this request."""
    found: Swaps = scope["app"].state.swaps
    return found
