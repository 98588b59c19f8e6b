"""Writes of values in company: those that come while another is under way go out as one command.

A command that writes one row costs the driver and the database three to five times what a row of a
larger one costs. As with loaders nobody waits for company: a write that comes alone goes alone, and
who comes while both commands are under way goes out with all the others who did.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId
from cachetools import TTLCache
from pymongo.errors import PyMongoError

from app.database.loader import Loader
from app.errors import NotFound
from app.relations.leases import Leases
from app.web.etags import tag_of
from app.web.preconditions import holds
from models.app_data_swap import Swap, read_versions, write_each
from models.app_data_updates import NEVER, QueryKeys, Sets
from models.app_data_values import Place
from models.app_data_written import StaleVersion, Written, written
from models.base import Raw
from models.precondition import Expected
from models.user import User

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
        sets: what is set.
        query_keys: what the row keeps for the app's queries.
    """

    place: Place
    expected: Expected | None
    sets: Sets
    query_keys: QueryKeys


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
        if self._alone and put.place not in self._apart and put.sets[1] <= LARGEST:
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
        rows = await read_versions([put.place for put in puts])
        outcomes: dict[Put, _Outcome] = {put: _refusal(put, rows.get(put.place)) for put in puts}
        live = [put for put in puts if _is_live(rows.get(put.place), put)]
        ready = [put for put in live if outcomes[put] is None]
        gone = await self._gone({put.place[0] for put in ready})
        outcomes |= {put: NotFound(_NO_USER) for put in ready if put.place[0] in gone}
        leased = [put for put in ready if put.place[0] not in gone]
        errors = await write_each([_swap(put, rows[put.place]) for put in leased])
        for put, error in zip(leased, errors, strict=True):
            outcomes[put] = self._outcome(put, rows[put.place], error)
        return outcomes

    async def _gone(self, users: set[ObjectId]) -> set[ObjectId]:
        """Those who are not there; the leases of the others are held now."""
        gone: set[ObjectId] = set()
        while more := await self._leases.hold_many(User, users - gone):
            gone |= more
        return gone

    def _outcome(self, put: Put, row: Raw, error: Exception | None) -> _Outcome:
        if error is None:
            _, size, _, expires_at, moment = put.sets
            return written(row, moment, expires_at, row["_id"], size, 0)
        if isinstance(error, StaleVersion):
            return error if put.expected is not None else None
        if isinstance(error, PyMongoError) and error.timeout:
            self._apart[put.place] = True  # who holds it up is not known: none shall again
        return error


def _refusal(put: Put, row: Raw | None) -> StaleVersion | None:
    """Why a put with a precondition is not done where this row is."""
    if put.expected is None or (
        row is not None
        and _is_live(row, put)
        and holds(put.expected, row["version"], tag_of(row["_id"]), row["updatedAt"])
    ):
        return None
    return StaleVersion()


def _is_live(row: Raw | None, put: Put) -> bool:
    return row is not None and not row["deleted"] and row.get("expiresAt", NEVER) > put.sets[-1]


def _swap(put: Put, row: Raw) -> Swap:
    return Swap(put.place, row["version"], put.sets, put.query_keys)


def swaps_of(scope: Any) -> Swaps:
    """The swaps of the application that serves this request."""
    found: Swaps = scope["app"].state.swaps
    return found
