"""Values of many places written by one command, each where it still is what was read.

Each write is pinned on the version that was read, so it is done exactly where it was decided on.
The database tells of each one whether it was: it is sent as an upsert whose row could never be
inserted, so that what finds no row of that version fails, and the others go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from models.app_data import AppData
from models.app_data_updates import QueryKeys, Sets, key_of, replace_update
from models.app_data_values import Place, among
from models.app_data_written import StaleVersion
from models.base import Raw

_NO_ID: Final = ()
_NOT_INSERTED: Final = 53  # InvalidIdField: no row may have an array as its `_id`
_WANTED: Final = dict.fromkeys(
    (
        "userId",
        "appId",
        "dataKey",
        "version",
        "createdAt",
        "updatedAt",
        "deleted",
        "expiresAt",
        "bytes",
    ),
    1,
)


@dataclass(frozen=True, slots=True)
class Swap:
    """What is to be stored at a place, as long as its version is still the one that was read.

    Attributes:
        place: where.
        version: that was read, of a live value.
        sets: what the write sets.
        query_keys: what the row keeps for the app's queries.
    """

    place: Place
    version: int
    sets: Sets
    query_keys: QueryKeys

    def statement(self) -> UpdateOne:
        """The update of one row that does it; it inserts none."""
        update = replace_update(*self.sets, query_keys=self.query_keys)
        assert isinstance(update, dict)
        where = {**key_of(*self.place), "version": self.version}
        return UpdateOne(where, {**update, "$setOnInsert": {"_id": _NO_ID}}, upsert=True)


async def read_versions(places: Sequence[Place]) -> dict[Place, Raw]:
    """Version, times, size and `_id` of what is stored at exact places, tombstones too, by one
    query."""
    cursor = AppData.raw().find(among(places), _WANTED, batch_size=len(places) + 1)
    return {(row["userId"], row["appId"], row["dataKey"]): row async for row in cursor}


async def write_each(writes: Sequence[Swap]) -> list[Exception | None]:
    """Do writes by one command, each for itself.

    Returns:
        Of each why it was not done, None where it was: `StaleVersion` where the row has another
        version or is gone, one error of all where it is not known of any.
    """
    outcomes: list[Exception | None] = [None] * len(writes)
    try:
        if writes:
            await AppData.raw().bulk_write([one.statement() for one in writes], ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        if details.get("writeConcernErrors"):
            return [error] * len(writes)
        for failure in details.get("writeErrors", []):
            stale = failure["code"] == _NOT_INSERTED
            outcomes[failure["index"]] = StaleVersion() if stale else error
    except PyMongoError as error:
        return [error] * len(writes)
    return outcomes
