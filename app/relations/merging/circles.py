"""Merges that lead nowhere: who was merged into somebody who was merged into them in turn, which no
merge makes, or into what nobody can be.

Whoever follows them stops (`Deletion.merged_into`, `PersonMerge.pending`), and which one is wrong
is for whoever damaged the rows to say.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from bson import ObjectId

from models.base import Raw, Stored
from models.deletion import Deletion
from models.in_order import in_order
from models.integrity import IntegrityScan
from models.person import PersonMerge, is_number

FOLLOWED: Final[tuple[tuple[type[Stored], Callable[[Any], bool]], ...]] = (
    (Deletion, lambda value: isinstance(value, ObjectId)),
    (PersonMerge, is_number),
)
"""The collections whose rows say what they were merged `into`, and what that may be."""
_BATCH: Final = 1000

Progress = Callable[[str, int], None]


def label_of(document: type[Stored]) -> str:
    """The label of a collection's scan: `deletions.into`."""
    return f"{document.collection_name()}.into"


async def check_merges(progress: Progress = lambda _label, _seen: None) -> list[IntegrityScan]:
    """Follow every merge to its end. Returns a scan for each collection that has some; what leads
    nowhere counts as unreadable.

    Raises:
        LostScan: another check has taken over.
    """
    return [await _check(document, may_be, progress) for document, may_be in FOLLOWED]


async def _check(
    document: type[Stored], may_be: Callable[[Any], bool], progress: Progress
) -> IntegrityScan:
    scan = await IntegrityScan.begin(label_of(document), restart=True)
    async for rows in in_order(document, {"into": 1}, None, _BATCH):
        merged = [row for row in rows if may_be(row["_id"]) and row.get("into") is not None]
        direct = {row["_id"]: row["into"] for row in merged}
        named = [
            {"kind": kind, "id": str(each), "parentId": str(direct[each])}
            async for each, kind in _leading_nowhere(document, direct, may_be)
        ]
        await scan.advance(rows[-1]["_id"], {"scanned": len(rows), "unreadable": len(named)}, named)
        progress(scan.id, len(rows))
    return await scan.finish()


async def _leading_nowhere(
    document: type[Stored], direct: Mapping[Any, Any], may_be: Callable[[Any], bool]
) -> AsyncIterator[tuple[Any, str]]:
    """Those of a batch that have no end, and why: all are followed step by step, by one query a
    step."""
    passed = {start: {start} for start in direct}
    standing = dict(direct)
    while standing:
        further = dict[Any, Any]()
        for start, place in standing.items():
            if not may_be(place):
                yield start, "malformed"
            elif place in passed[start]:
                yield start, "circle"
            else:
                passed[start].add(place)
                further[start] = place
        following = await document.fetch(set(further.values()), fields=["into"])
        standing = {start: _into(following.get(place)) for start, place in further.items()}
        standing = {start: place for start, place in standing.items() if place is not None}


def _into(row: Raw | None) -> Any:
    return None if row is None else row.get("into")
