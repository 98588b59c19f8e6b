"""Many values of one person and app at once: read by one command, and written by one, each as it
was decided on.

Each write is pinned on the version that was read, so it is done exactly where it was decided on.
That of the ones that
were not done the database tells which: they are sent as upserts, and an upsert whose row has
    another version by now
runs into the unique key. So the version of what was stored is known without asking for it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from models.app_data import AppData
from models.app_data_queries import Query, query_keys
from models.app_data_updates import Expiry, put_update, tombstone_update, unexpired, upsert_update
from models.base import Raw, Session, now
from models.values import Json, unescape_refs

MOST_MUTATIONS: Final = 8
DUPLICATE_KEY: Final = 11000
_TOO_LARGE: Final = frozenset({10334, 17419, 17420})
_HEAD: Final = (
    "dataKey",
    "version",
    "deleted",
    "createdAt",
    "updatedAt",
    "expiresAt",
    "mutations",
    "bytes",
    "escaped",
)
_ENVELOPE: Final = ("dataKey", "version", "createdAt", "updatedAt", "expiresAt", "escaped")


@dataclass(frozen=True, slots=True)
class Place:
    """Whose values they are, of which app, who writes them, how many former versions the app keeps,
    and its queries."""

    user_id: ObjectId
    app_id: str
    by: str
    history: int = 0
    queries: tuple[Query, ...] = ()

    def among(self, keys: Collection[str]) -> Raw:
        """The filter of these keys' rows."""
        return {"userId": self.user_id, "appId": self.app_id, "dataKey": {"$in": list(keys)}}


@dataclass(frozen=True, slots=True)
class Pinned:
    """What is to be stored under a key, as long as its row is the one that was read.

    Attributes:
        data_key: under which key.
        row: what was read by `read_rows`, None where there was nothing.
        live: whether that was a live value.
        moment: when it was decided.
        deletes: whether it leaves a tombstone.
        value: the value otherwise.
        size: bytes of its JSON.
        expires_at: when it ends; None for never.
        mutation_id: of the client; the row remembers it.
    """

    data_key: str
    row: Raw | None
    live: bool
    moment: datetime
    deletes: bool = False
    value: Json = None
    size: int = 0
    expires_at: datetime | Expiry | None = None
    mutation_id: str | None = None
    floor: int = 0

    @property
    def version(self) -> int:
        """The version that it makes."""
        return (self.floor if self.row is None else self._before) + 1

    @property
    def _before(self) -> int:
        return 0 if self.row is None else int(self.row["version"])

    def statement(self, place: Place) -> UpdateOne:
        """The update of one row that does it."""
        where = {
            "userId": place.user_id,
            "appId": place.app_id,
            "dataKey": self.data_key,
            "version": self._before,
        }
        return UpdateOne(where, self._counted(self._update(place)), upsert=True)

    def _counted(self, update: Raw | list[Raw]) -> Raw | list[Raw]:
        """The update of what is made by it begins after the floor of versions."""
        if self.row is None and self.floor:
            if isinstance(update, list):
                return [*update, {"$set": {"version": self.version}}]
            update["$inc"]["version"] = self.version
        return update

    def _update(self, place: Place) -> Raw | list[Raw]:
        history = place.history if self.row is not None else 0
        if self.deletes:
            return self._marked(self._tombstone(place.by, history))
        sets = (self.value, self.size, place.by, self.expires_at, self.moment)
        keys = query_keys(place.queries, place.user_id, self.data_key, self.value)
        if history or not (self.live or self.row is None):
            return self._marked(put_update(*sets, ObjectId(), history, query_keys=keys))
        update = upsert_update(*sets, ObjectId(), keys)
        update["$setOnInsert"]["deleted"] = False
        if self.mutation_id is not None:
            update["$set"]["mutations"] = self._mutations()
        return update

    def _tombstone(self, by: str, history: int) -> list[Raw]:
        update = tombstone_update(by, self.moment, history)
        if self.row is None:
            update.append({"$set": {"createdAt": self.moment}})
        return update

    def _marked(self, update: list[Raw]) -> list[Raw]:
        if self.mutation_id is not None:
            update.append({"$set": {"mutations": {"$literal": self._mutations()}}})
        return update

    def _mutations(self) -> list[Raw]:
        known = (self.row or {}).get("mutations", [])
        return [*known, {"id": self.mutation_id, "version": self.version}][-MOST_MUTATIONS:]


@dataclass(frozen=True, slots=True)
class Undone:
    """What of several writes was not done, by their keys: those that came too late, and those that
    are too large."""

    late: frozenset[str] = frozenset()
    too_large: frozenset[str] = frozenset()


class NotDone(Exception):
    """In a transaction, something was not done: so nothing is."""

    def __init__(self, undone: Undone) -> None:
        super().__init__()
        self.undone = undone


async def read_rows(
    place: Place,
    keys: Collection[str],
    *,
    whole: Collection[str] = (),
    most: int = 0,
    session: Session = None,
) -> dict[str, Raw]:
    """What is stored under these keys, tombstones too, by key.

    Args:
        place: where.
        keys: which.
        whole: keys whose values are to be read, unescaped.
        most: bytes of JSON beyond which a value is left out.
        session: to read by.
    """
    wanted: Raw = {"_id": 0, **dict.fromkeys(_HEAD, 1)}
    if whole:
        small = {"$lte": ["$bytes", most]}
        named = [small, {"$in": ["$dataKey", {"$literal": list(whole)}]}]
        wanted["value"] = {"$cond": [{"$and": named}, "$value", "$$REMOVE"]}
    found = await AppData.raw().find(place.among(keys), wanted, session=session).to_list()
    return {row["dataKey"]: _unescaped(row) for row in found}


async def read_envelopes(place: Place, keys: Sequence[str], *, most_bytes: int) -> dict[str, Raw]:
    """The live values of these keys in their envelopes, by key.

    Args:
        place: where.
        keys: which.
        most_bytes: of JSON of all values together; those that do not fit come without `value`.
    """
    share = most_bytes // max(len(keys), 1)
    whole = {"$lte": ["$bytes", share]}
    wanted = {
        "_id": 0,
        **dict.fromkeys(_ENVELOPE, 1),
        "bytes": 1,
        "value": {"$cond": [whole, "$value", "$$REMOVE"]},
    }
    query = {**place.among(keys), "deleted": False, **unexpired(now())}
    found = {
        row["dataKey"]: _unescaped(row) for row in await AppData.raw().find(query, wanted).to_list()
    }
    sizes = {key: row.pop("bytes", 0) for key, row in found.items()}
    room = most_bytes - sum(size for size in sizes.values() if size <= share)
    for key in (key for key in keys if sizes.get(key, 0) > share):
        room -= sizes[key]
        if room >= 0 and (row := await AppData.find_envelope(place.user_id, place.app_id, key)):
            found[key] = row
    for row in found.values():
        row.pop("escaped", None)
    return found


async def write_pinned(place: Place, writes: Sequence[Pinned], session: Session = None) -> Undone:
    """Do writes by one command, each where the row is still the one that was read.

    Args:
        place: where.
        writes: of a key each.
        session: of a transaction.

    Raises:
        NotDone: in a transaction, not all were done.
        pymongo.errors.BulkWriteError: one could not be done for another reason than those that
            `Undone` tells of.
    """
    if not writes:
        return Undone()
    try:
        await AppData.raw().bulk_write(
            [write.statement(place) for write in writes], ordered=False, session=session
        )
    except BulkWriteError as error:
        undone = _undone(error, writes)
        if session is not None:
            raise NotDone(undone) from None
        return undone
    return Undone()


def _undone(error: BulkWriteError, writes: Sequence[Pinned]) -> Undone:
    details: Any = error.details or {}
    failed = {
        writes[each["index"]].data_key: each["code"] for each in details.get("writeErrors", [])
    }
    known = _TOO_LARGE | {DUPLICATE_KEY}
    if details.get("writeConcernErrors") or not failed or not known.issuperset(failed.values()):
        raise error
    late = frozenset(key for key, code in failed.items() if code == DUPLICATE_KEY)
    return Undone(late, frozenset(failed.keys() - late))


def _unescaped(row: Raw) -> Raw:
    if row.get("escaped") and "value" in row:
        row["value"] = unescape_refs(row["value"])
    return row
