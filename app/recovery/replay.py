"""The replay: what the ledger says was deleted, revoked or taken goes from a restored database
again."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from beanie import PydanticObjectId
from bson import ObjectId
from bson import Timestamp as ClusterTime

from app.database.turns import AlwaysOvertaken
from app.errors import NotFound
from app.ledger import Ledger
from app.recovery.merges import BY, Merges
from app.recovery.takings import label_of, take_again
from app.relations.delete import delete_root
from app.relations.hooks import Hooks
from app.relations.sweep import collection_of
from app.settings import Settings
from models import ApiKey
from models.app_data_clearing import BATCH, Clearing, bury, forget_activity
from models.base import Raw, now
from models.deletion import Deletion, Stage
from models.user import User

_NO_HURRY: Final = 1e9
_KILLED_FOR: Final = 180.0
"""Seconds for which a transaction of a killed process may be in the way: the database ends it after
a minute, unless its `transactionLifetimeLimitSeconds` says otherwise."""
T = TypeVar("T")


async def replay(
    settings: Settings, hooks: Hooks, progress: Callable[[str], object]
) -> Counter[str]:
    """Do again what the ledger says, each file of it; a repeat finds nothing to do.

    Returns:
        How many of each kind there still were.

    Raises:
        DamagedLedgerError: a file of the ledger is not what was written.
        OSError: it could not be read.
    """
    patient = settings.model_copy(update={"deletion_inline_seconds": _NO_HURRY})
    files, counts = Ledger.of(settings).notes(), Counter[str]()
    merges = Merges(patient, hooks)
    seen = 0
    while notes := await asyncio.to_thread(next, files, None):
        seen += len(notes)
        progress(f"going through the ledger of deletions: {seen:,}")
        counts += await _replay(notes, patient, hooks, merges)
    return counts


async def _replay(
    notes: list[Raw], settings: Settings, hooks: Hooks, merges: Merges
) -> Counter[str]:
    counts = Counter[str]()
    deleted: defaultdict[str, list[Raw]] = defaultdict(list)
    for note in notes:
        if note["kind"] == "deleted":
            deleted[note["root"]].append(note)
        elif note["kind"] == "revoked":
            where = {"_id": note["subject"], "version": {"$lt": note["below"]}}
            gone = await ApiKey.raw().delete_many(where)
            counts["keys revoked again"] += gone.deleted_count
        elif note["kind"] == "cleared":
            counts["values of apps deleted again"] += await _clear(note)
        elif note["kind"] == "taken":
            taking = partial(take_again, note, settings)
            counts[label_of(note)] += await _patiently(taking)
        elif note["kind"] == "merged":  # in their order, and before the target may go
            counts["people merged again"] += await _patiently(partial(merges.again, note))
    for note in list(deleted.get(User.collection_name(), [])):
        deleted[note["root"]] += merges.left_by(note)
    for root, found in deleted.items():
        counts["documents deleted again"] += await _delete(root, found, settings, hooks)
    return counts


async def _delete(root: str, notes: list[Raw], settings: Settings, hooks: Hooks) -> int:
    """Delete those that are there, with all that hangs off them, and have an entry of each."""
    document, times = collection_of(root), {note["subject"]: note["at"] for note in notes}
    alive = await document.fetch(times, fields=["_id"])
    gone = 0
    for each in alive:
        try:
            await _patiently(partial(delete_root, document, each, BY, settings, hooks, forced=True))
        except NotFound:  # it goes with another
            continue
        gone += 1
    await Deletion.keep([_entry(each, root, at) for each, at in times.items()])
    return gone


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do something, however long what a killed replay was at is in the way.

    Raises:
        AlwaysOvertaken: somebody else is: a server or a worker uses the database.
    """
    until = time.monotonic() + _KILLED_FOR
    while True:
        try:
            return await work()
        except AlwaysOvertaken:
            if time.monotonic() > until:
                raise


def _entry(key: ObjectId, root: str, at: datetime) -> Deletion:
    """The entry of a deletion whose receipt was lost: what comes late is swept."""
    return Deletion(
        id=PydanticObjectId(key),
        root=root,
        by=BY,
        at=at,
        stage=Stage.DONE,
        next_sweep_at=now(),
    )


async def _clear(note: Raw) -> int:
    until = ClusterTime(*note["until"])
    what = Clearing(note["subject"], note["app"], "", True, BY, note["at"], until)
    total, after = 0, ""
    following: Any = after
    while following is not None:
        count, following = await bury(what, following)
        total += count
    while (count := await forget_activity(what)) == BATCH:
        total += count
    return total + count
