"""How indexes are used, which of them do another's work, and which operations are slow."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from indexes.definitions import INDEXES
from indexes.index import Index
from models import DOCUMENTS
from models.base import Raw

ENTRIES_READ: Final = 10_000
_NO_COLLECTION: Final = 26
_LOGICAL: Final = frozenset({"$and", "$or", "$nor"})


@dataclass(frozen=True, slots=True)
class Usage:
    """What one index costs and does.

    Attributes:
        collection: the collection's name.
        name: the index's name.
        uses: operations that used it since `since`, on this member of the set.
        since: when the count began: the start of the server, or the making of the index.
        bytes: its size on disk.
        covered_by: the longer index of the table that does its work as well, if one does.
        spare: whether no operation needs it.
        serves: the query that it is for; empty where the table does not have it.
    """

    collection: str
    name: str
    uses: int
    since: datetime
    bytes: int
    covered_by: str | None
    spare: bool
    serves: str


@dataclass(frozen=True, slots=True)
class SlowOperation:
    """Operations of one shape that the profiler noted. The shape has names and operators, and never
    a value.

    Attributes:
        collection: the collection's name.
        shape: `find {userId: ?, timestamp: {$gte: ?}} sort {timestamp: -1}`.
        plan: how the planner did it: `IXSCAN { userId: 1 }`, `COLLSCAN`.
        count: how many were noted.
        slowest_ms: the longest, in milliseconds.
        total_ms: all of them together, in milliseconds.
        keys_examined: index keys read by all of them.
        docs_examined: documents read by all of them.
        returned: documents returned by all of them.
        sorted_in_memory: whether any sorted its result itself.
    """

    collection: str
    shape: str
    plan: str
    count: int
    slowest_ms: int
    total_ms: int
    keys_examined: int
    docs_examined: int
    returned: int
    sorted_in_memory: bool


@dataclass(frozen=True, slots=True)
class Build:
    """An index build under way: its collection, and how many of how many documents it has read."""

    collection: str
    done: int
    total: int


async def usage(database: AsyncDatabase[Raw]) -> list[Usage]:
    """Use and size of every index of our collections, in the order of the table."""
    found = await asyncio.gather(
        *(_usage(database, document.collection_name()) for document in DOCUMENTS)
    )
    return [
        use
        for document, (rows, sizes) in zip(DOCUMENTS, found, strict=True)
        for use in _described(document.collection_name(), INDEXES.get(document, []), rows, sizes)
    ]


async def builds(database: AsyncDatabase[Raw]) -> list[Build]:
    """The index builds of this database that are reading documents right now."""
    mine: Raw = {
        "ns": {"$regex": f"^{re.escape(database.name)}\\."},
        "msg": {"$regex": "^Index Build"},
    }
    pipeline: list[Raw] = [{"$currentOp": {}}, {"$match": {**mine, "progress": {"$exists": True}}}]
    # The client asks for majority, which $currentOp refuses.
    admin = database.client.get_database("admin", read_concern=ReadConcern("local"))
    cursor = await admin.aggregate(pipeline)
    return [
        Build(
            row["ns"].partition(".")[2], int(row["progress"]["done"]), int(row["progress"]["total"])
        )
        async for row in cursor
    ]


def dispensable(table: Sequence[Index]) -> dict[str, str | None]:
    """The indexes that a lean database does without: name -> name of the one that does the work as
    well, None where no operation needs it."""
    spare: dict[str, str | None] = {index.name: None for index in table if index.spare}
    return spare | {name: cover for name, cover in redundant(table).items() if name not in spare}


def redundant(table: Sequence[Index]) -> dict[str, str]:
    """The indexes whose work another one does as well: name -> name of the shortest that does and
    is not redundant too.

    The keys of the one begin the keys of the other. The shorter has no options: a unique one
    constrains, a TTL one expires, and a sparse or partial one is smaller than any that holds all
    documents. The longer is neither sparse nor
    partial: it must know every document that the shorter knows. That it is unique does no harm.
    """
    complete = [
        index for index in table if not {"sparse", "partialFilterExpression"} & index.options.keys()
    ]
    longer = {
        index.name: [other for other in complete if _begins(index.keys, other.keys)]
        for index in table
        if not index.options
    }
    kept = {
        name: [other for other in others if not longer.get(other.name)]
        for name, others in longer.items()
    }
    return {
        name: min(others, key=lambda other: len(other.keys)).name
        for name, others in kept.items()
        if others
    }


def _begins(keys: Mapping[str, int], longer: Mapping[str, int]) -> bool:
    return len(longer) > len(keys) and list(longer.items())[: len(keys)] == list(keys.items())


async def profile(
    database: AsyncDatabase[Raw], seconds: float, slow_ms: int
) -> list[SlowOperation]:
    """Switch the profiler on for a while, and say what it noted meanwhile.

    Args:
        database: of a client whose user may set the profiler.
        seconds: for how long.
        slow_ms: note operations that take at least this long, in milliseconds.
    """
    started = (await database.client.admin.command("hello"))["localTime"]
    async with profiling(database, slow_ms):
        await asyncio.sleep(seconds)
    return await slow_operations(database, since=started)


@asynccontextmanager
async def profiling(database: AsyncDatabase[Raw], slow_ms: int) -> AsyncIterator[None]:
    """Have the profiler at level 1 within the block, and as it was before after it, however the
    block ends.

    The threshold is that of the server's log as well, which therefore tells more meanwhile, values
    included.
    """
    before = await database.command("profile", -1)
    try:
        await database.command("profile", 1, slowms=slow_ms, sampleRate=1.0)
        yield
    finally:
        await database.command(
            "profile", before["was"], slowms=before["slowms"], sampleRate=before["sampleRate"]
        )


async def slow_operations(
    database: AsyncDatabase[Raw], since: datetime | None = None
) -> list[SlowOperation]:
    """The operations in `system.profile` by shape, the most costly first; none where the profiler
    was never on.

    Args:
        database: whose profile.
        since: leave out what was noted before.
    """
    own = f"{database.name}.system.profile"
    query: Raw = {"ns": {"$ne": own}} | ({} if since is None else {"ts": {"$gte": since}})
    cursor = database["system.profile"].find(query).sort("$natural", -1).limit(ENTRIES_READ)
    groups: dict[tuple[str, str, str], list[Raw]] = {}
    async for entry in cursor:
        collection = entry["ns"].removeprefix(f"{database.name}.")
        groups.setdefault((collection, shape(entry), entry.get("planSummary", "")), []).append(
            entry
        )
    slow = [_summed(*key, entries) for key, entries in groups.items()]
    return sorted(slow, key=lambda operation: -operation.total_ms)


def shape(entry: Raw) -> str:
    """What an entry of `system.profile` did, by names and operators alone: values are personal
    data."""
    command = entry.get("originatingCommand") or entry.get("command", {})
    operation = entry.get("op", "command")
    name = next(iter(command), operation) if operation in ("command", "query") else operation
    parts = [name]
    for field in ("filter", "query", "q"):
        if isinstance(command.get(field), dict):
            parts.append(filter_shape(command[field]))
    if isinstance(command.get("pipeline"), list):
        parts.append(f"[{', '.join(_stage_shape(stage) for stage in command['pipeline'])}]")
    if isinstance(command.get("sort"), dict):
        parts.append(f"sort {_directions(command['sort'])}")
    return " ".join(parts)


def filter_shape(query: Mapping[str, Any]) -> str:
    """A filter without its values: `{userId: ?, $or: [{deleted: ?}, {expiresAt: {$lte: ?}}]}`."""
    return (
        f"{{{', '.join(f'{name}: {_value_shape(name, value)}' for name, value in query.items())}}}"
    )


def _value_shape(name: str, value: Any) -> str:
    if name in _LOGICAL and isinstance(value, list):
        return f"[{', '.join(dict.fromkeys(filter_shape(part) for part in value))}]"
    # A document without an operator is a value, its field names included.
    if (
        isinstance(value, dict)
        and all(key.startswith("$") for key in value)
        and name not in ("$expr", "$literal")
    ):
        return filter_shape(value)
    return "?"


def _stage_shape(stage: Mapping[str, Any]) -> str:
    name, body = next(iter(stage.items()))
    if name == "$match":
        return f"$match {filter_shape(body)}"
    return f"$sort {_directions(body)}" if name == "$sort" else name


def _directions(keys: Mapping[str, Any]) -> str:
    return f"{{{', '.join(f'{name}: {direction}' for name, direction in keys.items())}}}"


def _summed(collection: str, shape_: str, plan: str, entries: Sequence[Raw]) -> SlowOperation:
    def total(name: str) -> int:
        return sum(int(entry.get(name, 0)) for entry in entries)

    return SlowOperation(
        collection=collection,
        shape=shape_,
        plan=plan,
        count=len(entries),
        slowest_ms=max(int(entry["millis"]) for entry in entries),
        total_ms=total("millis"),
        keys_examined=total("keysExamined"),
        docs_examined=total("docsExamined"),
        returned=total("nreturned"),
        sorted_in_memory=any(entry.get("hasSortStage") for entry in entries),
    )


async def _usage(
    database: AsyncDatabase[Raw], collection: str
) -> tuple[list[Raw], Mapping[str, int]]:
    rows = [row async for row in await database[collection].aggregate([{"$indexStats": {}}])]
    try:
        storage = [
            row
            async for row in await database[collection].aggregate(
                [{"$collStats": {"storageStats": {}}}]
            )
        ]
    except OperationFailure as error:
        if error.code != _NO_COLLECTION:
            raise
        return [], {}
    return rows, storage[0]["storageStats"]["indexSizes"]


def _described(
    collection: str, table: Sequence[Index], rows: Iterable[Raw], sizes: Mapping[str, int]
) -> list[Usage]:
    serves = {"_id_": "find a document by its id"} | {index.name: index.serves for index in table}
    order, covers = list(serves), redundant(table)
    spare = {index.name for index in table if index.spare}
    uses = [
        Usage(
            collection=collection,
            name=row["name"],
            uses=int(row["accesses"]["ops"]),
            since=row["accesses"]["since"],
            bytes=int(sizes.get(row["name"], 0)),
            covered_by=covers.get(row["name"]),
            spare=row["name"] in spare,
            serves=serves.get(row["name"], ""),
        )
        for row in rows
    ]
    return sorted(uses, key=lambda use: order.index(use.name) if use.name in serves else len(order))
