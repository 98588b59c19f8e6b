"""Documents that live though the ledger says that they were deleted: a restored backup brings them
back.

A sweep leaves alone what hangs off them, since it may have been written since then. Whoever
restored the backup decides: an ordinary deletion takes them again.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from app.relations.sweep import collection_of
from models.base import Raw
from models.deletion import Deletion
from models.integrity import IntegrityScan
from models.relations import RELATIONS, Relations

LABEL: Final = "deletions.living"
_BATCH: Final = 1000

Progress = Callable[[str, int], None]


async def check_living(
    progress: Progress = lambda _label, _seen: None, relations: Relations = RELATIONS
) -> IntegrityScan:
    """Look through the ledger of deletions for documents that live.

    Raises:
        LostScan: another check has taken over.
    """
    scan = await IntegrityScan.begin(LABEL, restart=True)
    async for rows in _entries():
        alive = await _alive(rows, relations)
        named: list[Raw] = [
            {"kind": "living", "id": str(each), "root": alive[each]} for each in alive
        ]
        await scan.advance(rows[-1]["_id"], {"scanned": len(rows), "living": len(alive)}, named)
        progress(LABEL, len(rows))
    return await scan.finish()


async def _entries() -> AsyncIterator[list[Raw]]:
    """The ledger in the order of its ids, batch by batch."""
    where: Raw = {}
    while True:
        found = Deletion.raw().find(where, {"root": 1}).sort("_id", 1).limit(_BATCH)
        if not (rows := await found.to_list()):
            return
        yield rows
        where = {"_id": {"$gt": rows[-1]["_id"]}}


async def _alive(rows: list[Raw], relations: Relations) -> dict[Any, str]:
    """Those of these deleted documents that are there, with their collections."""
    by_root: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_root[str(row.get("root"))].append(row["_id"])
    return {
        each: root
        for root, ids in by_root.items()
        for each in await collection_of(root, relations).fetch(ids, fields=["_id"])
    }
