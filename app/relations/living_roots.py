"""Documents that live though the ledger says that they were deleted: a restored backup brings them
back.

A sweep leaves alone what hangs off them, since it may have been written since then. Whoever
restored the backup decides: an ordinary deletion takes them again.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from bson import ObjectId

from app.relations.sweep import collection_of
from models import DOCUMENTS
from models.base import Raw
from models.deletion import Deletion
from models.in_order import in_order
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
    async for rows in in_order(Deletion, {"root": 1}, None, _BATCH):
        alive = await _alive(rows, relations)
        named: list[Raw] = [
            {"kind": "living", "id": str(each), "root": alive[each]} for each in alive
        ]
        await scan.advance(rows[-1]["_id"], {"scanned": len(rows), "living": len(alive)}, named)
        progress(LABEL, len(rows))
    return await scan.finish()


async def _alive(rows: list[Raw], relations: Relations) -> dict[Any, str]:
    """Those of these deleted documents that are there, with their collections."""
    by_root: defaultdict[str, list[Any]] = defaultdict(list)
    known = {each.collection_name() for each in DOCUMENTS}
    for row in rows:
        root = str(row.get("root"))
        if root in known and isinstance(row["_id"], ObjectId | str):  # else it is damaged
            by_root[root].append(row["_id"])
    return {
        each: root
        for root, ids in by_root.items()
        for each in await collection_of(root, relations).fetch(ids, fields=["_id"])
    }
