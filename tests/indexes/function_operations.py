"""What the functions beside `AppData` send: reading for sync, batches, clearing, history, the
purge, usage."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from bson import ObjectId, Timestamp

from app.database import transaction
from models.app_data import AppData
from models.app_data_batch import Pinned, Place, read_envelopes, read_rows, write_pinned
from models.app_data_changes import (
    Source,
    count_live,
    find_changed,
    find_live,
    find_values,
    find_versions,
)
from models.app_data_clearing import Clearing, bury, count_kept, forget_activity
from models.app_data_expiry import expire_due, next_expiry, version_stats
from models.app_data_history import find_version
from models.app_data_history import find_versions as find_history
from models.app_data_merge import carry, find_conflicts
from models.app_data_purge import Old, find_old, next_app, remove
from models.app_data_scan import scan_app
from models.app_data_swap import Swap, read_versions, write_each
from models.app_data_usage import find_size, usage_of
from models.app_data_values import load_values
from models.base import now
from tests.filled import USERS
from tests.indexes.query_operations import QUERY_OPERATIONS

Operation = Callable[[], Awaitable[Any]]
ME, APP = USERS[7], "app1"
SOURCE: Final = Source(ME, APP, "")
SOME: Final = Source(ME, APP, "key")
PLACE: Final = Place(ME, APP, "x", 0, ())
LONG_AGO: Final = Timestamp(1, 1)
KEYS: Final = ["key1", "key2", "none"]


def clearing(prefix: str) -> Clearing:
    return Clearing(ME, APP, prefix, forget=True, by="x", at=now(), until=Timestamp(1, 1))


async def read_again() -> None:
    """What is read of a snapshot that was read before."""
    found = await find_live(SOURCE, share=1, limit=5)
    await find_changed(
        SOURCE, LONG_AGO, (LONG_AGO, ObjectId()), fresh=LONG_AGO, share=1, limit=5, at=found.at
    )
    await find_versions(SOURCE, LONG_AGO, found.at)
    await find_values([row["_id"] for row in found.rows], found.at)


async def write() -> None:
    rows = await read_rows(PLACE, KEYS)
    await write_pinned(
        PLACE, [Pinned(key, rows.get(key), live=key in rows, moment=now(), value=1) for key in KEYS]
    )


async def swap() -> None:
    rows = await read_versions([(ME, APP, key) for key in KEYS])
    sets = (1, 1, "x", None, now())
    await write_each([Swap(place, row["version"], sets, None) for place, row in rows.items()])


async def scan() -> None:
    async for _ in scan_app(APP, ObjectId("0" * 24), 5):
        pass


async def carry_some() -> None:
    """A key of mine that the other has, too, and one that nobody has any more."""
    rows = AppData.raw().find({"userId": ME, "appId": APP, "dataKey": {"$in": KEYS}}, {"_id": 1})
    ids = [row["_id"] async for row in rows]
    await transaction(lambda session: carry(ids, ME, USERS[8], {}, session))


async def load() -> None:
    """Values of several people and apps at once."""
    await load_values([*((ME, APP, key) for key in KEYS), (ObjectId(), "app2", "k")])


FUNCTIONS: Final[dict[str, list[Operation]]] = {
    "app_data_batch.read_rows": [
        lambda: read_rows(PLACE, KEYS),
        lambda: read_rows(PLACE, KEYS, whole=KEYS, most=1),
    ],
    "app_data_batch.read_envelopes": [lambda: read_envelopes(PLACE, KEYS, most_bytes=10)],
    "app_data_batch.write_pinned": [write],
    "app_data_changes.find_changed": [
        lambda: find_changed(SOURCE, LONG_AGO, fresh=LONG_AGO, share=1, limit=5),
        lambda: find_changed(SOME, LONG_AGO, fresh=LONG_AGO, share=1, limit=5),
        lambda: find_changed(
            SOME, LONG_AGO, (LONG_AGO, ObjectId()), fresh=LONG_AGO, share=1, limit=5
        ),
    ],
    "app_data_changes.find_live": [
        lambda: find_live(SOURCE, share=1, limit=5),
        lambda: find_live(SOME, "key1", share=1, limit=5),
    ],
    "app_data_changes.find_versions": [read_again],
    "app_data_changes.find_values": [lambda: find_values([ObjectId()], None)],
    "app_data_changes.count_live": [lambda: count_live(SOME), lambda: count_live(SOURCE, KEYS)],
    "app_data_clearing.bury": [
        lambda: bury(clearing(""), ""),
        lambda: bury(clearing("key"), "key1"),
    ],
    "app_data_clearing.forget_activity": [lambda: forget_activity(clearing(""))],
    "app_data_clearing.count_kept": [lambda: count_kept(ME, APP)],
    "app_data_expiry.next_expiry": [next_expiry],
    "app_data_expiry.expire_due": [lambda: expire_due(20)],
    "app_data_expiry.version_stats": [version_stats],
    "app_data_history.find_versions": [lambda: find_history(ME, APP, "key1")],
    "app_data_history.find_version": [lambda: find_version(ME, APP, "key1", 1)],
    "app_data_merge.find_conflicts": [lambda: find_conflicts(ME, USERS[8], 5)],
    "app_data_merge.carry": [carry_some],
    "app_data_purge.next_app": [lambda: next_app(""), lambda: next_app(APP)],
    "app_data_purge.find_old": [lambda: find_old(APP, Timestamp(2**31, 1), 5)],
    "app_data_purge.remove": [lambda: remove(Old(APP, LONG_AGO, [], {}), [ObjectId()])],
    "app_data_scan.scan_app": [scan],
    "app_data_swap.read_versions": [swap, lambda: read_versions([(ME, APP, "key1")])],
    "app_data_swap.write_each": [swap],
    "app_data_usage.find_size": [lambda: find_size(ME, APP, "key1")],
    "app_data_usage.usage_of": [lambda: usage_of(ME), lambda: usage_of(ME, APP)],
    "app_data_values.load_values": [load, lambda: load_values([(ME, APP, "key1")])],
    **{
        f"app_data_queries.{name}": QUERY_OPERATIONS["AppData.fitted"]
        for name in ("page_by_query", "give_keys")
    },
}
"""Every asynchronous function of the modules beside `AppData`, with each way in which it is
called."""
