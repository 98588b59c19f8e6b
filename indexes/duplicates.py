"""Documents that stand in the way of a unique index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase

from indexes.index import Index
from models.base import Raw

GROUPS_SHOWN: Final = 20
IDS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What stands in the way of a unique index: per value how many documents share it, and the ids
    of the first ten.

    The values themselves are personal data, and left out.
    """

    collection: str
    fields: tuple[str, ...]
    groups: tuple[tuple[int, tuple[Any, ...]], ...]

    def __str__(self) -> str:
        lines = [f"{self.collection}: these documents have the same {', '.join(self.fields)}:"]
        for count, ids in self.groups[:GROUPS_SHOWN]:
            more = f" and {count - len(ids)} more" if count > len(ids) else ""
            lines.append(f"  {', '.join(map(str, ids))}{more}")
        if len(self.groups) > GROUPS_SHOWN:
            lines.append("  and others")
        return "\n".join(lines)


class DuplicatesFound(Exception):
    """A unique index cannot be built, since documents share a value; `duplicates` says which."""

    def __init__(self, duplicates: Sequence[Duplicates]) -> None:
        self.duplicates = tuple(duplicates)
        gone = "a build met duplicates that were gone when looked for: apply again"
        super().__init__("\n".join(map(str, duplicates)) or gone)


def selected(index: Index) -> Raw:
    """The filter of the documents that an index has, empty where it has all."""
    if index.options.get("sparse"):
        return {"$or": [{name: {"$exists": True}} for name in index.keys]}
    return dict(index.options.get("partialFilterExpression", {}))


def looking(index: Index) -> list[Raw]:
    """The pipeline that groups the documents of a unique index by what it refuses to store
    twice."""
    values = {f"k{place}": {"$ifNull": [f"${name}", None]} for place, name in enumerate(index.keys)}
    ids = {"$firstN": {"input": "$_id", "n": IDS_SHOWN}}
    return [
        {"$match": selected(index)},
        {"$group": {"_id": values, "count": {"$sum": 1}, "ids": ids}},
        {"$match": {"count": {"$gt": 1}}},
        {"$limit": GROUPS_SHOWN + 1},
    ]


async def find_duplicates(
    database: AsyncDatabase[Raw], collection: str, index: Index
) -> Duplicates | None:
    """The documents that a unique index would refuse, None where there are none. Reads the whole
    collection.

    Fields are taken as the table has them: scalars, an absent one being equal to null.
    """
    cursor = await database[collection].aggregate(looking(index), allowDiskUse=True)
    groups = tuple([(row["count"], tuple(row["ids"])) async for row in cursor])
    return Duplicates(collection, tuple(index.keys), groups) if groups else None
