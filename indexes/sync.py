"""Compares the table of indexes with a database, and mends the difference so that no value is
unprotected meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from dataclasses import replace as with_fields
from enum import Enum
from itertools import chain, groupby
from typing import Any, Final

import pymongo
from bson import ObjectId
from pymongo import IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure

from indexes.definitions import INDEXES
from indexes.index import Index
from indexes.stats import redundant
from models import DOCUMENTS
from models.base import Raw

STAND_IN: Final = "satchel_stand_in_"
GROUPS_SHOWN: Final = 20
IDS_SHOWN: Final = 10
_NO_COLLECTION, _NO_INDEX, _SAME_INDEX = 26, 27, 85
_TTL: Final = "expireAfterSeconds"
# Versions, names and an option that has had no effect since MongoDB 4.2: none changes what an index
# does.
_NOT_OPTIONS: Final = frozenset({"v", "key", "name", "ns", "background"})
_COLLATION: Final = ("locale", "strength")
_LEASE: Final = {"_id": "indexes"}
_LEASE_SECONDS: Final = 30

Progress = Callable[[int, int, str], None]
"""Told before each step: how many steps are done, how many there are, and what comes now."""


class Kind(Enum):
    """What is the matter with an index."""

    MISSING = "missing"
    TTL = "ttl"
    CHANGED = "changed"
    UNKNOWN = "unknown"
    REDUNDANT = "redundant"


@dataclass(frozen=True, slots=True)
class Existing:
    """An index as the database has it. One that is still `building` serves no query yet."""

    name: str
    keys: tuple[tuple[str, Any], ...]
    options: Mapping[str, Any]
    building: bool = False

    def does(self, index: Index) -> bool:
        """Whether this does what the table wants, or will once it is built."""
        return self.keys == tuple(index.keys.items()) and self.options == index.options


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: what the table has under this name, if anything, and what the database has in
    its place.

    `covered_by` names the longer index that does the work of a redundant one.
    """

    kind: Kind
    collection: str
    name: str
    index: Index | None = None
    existing: tuple[Existing, ...] = ()
    covered_by: str | None = None

    @property
    def stand_in(self) -> bool:
        """Whether this was left by a replacement that was interrupted."""
        return self.kind is Kind.UNKNOWN and self.name.startswith(STAND_IN)

    def __str__(self) -> str:
        there = " and ".join(
            f"{old.name} {describe(dict(old.keys), old.options)}" for old in self.existing
        )
        wanted = describe(self.index.keys, self.index.options) if self.index else ""
        detail = {
            Kind.MISSING: f"is missing: {wanted}",
            Kind.TTL: f"expires after another time: {there} instead of {wanted}",
            Kind.CHANGED: f"is another index: {there} instead of {wanted}",
            Kind.UNKNOWN: (
                f"is in no table{', left by an interrupted --replace' if self.stand_in else ''}:"
                f" {there}"
            ),
            Kind.REDUNDANT: (
                f"is a prefix of {self.covered_by}{'' if self.existing else ', and not there'}"
            ),
        }
        return f"{self.collection}.{self.name} {detail[self.kind]}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Every difference, by collection in the order of the table."""

    findings: tuple[Finding, ...]
    lean: bool = False

    def of(self, *kinds: Kind) -> list[Finding]:
        """The findings of these kinds."""
        return [finding for finding in self.findings if finding.kind in kinds]

    @property
    def drift(self) -> list[Finding]:
        """The findings that make the database differ from the table."""
        return [finding for finding in self.findings if finding.kind is not Kind.REDUNDANT]


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


def describe(keys: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """An index in one line: `{userId: 1} unique`, with the values of options other than true."""
    fields = ", ".join(f"{name}: {direction}" for name, direction in keys.items())
    rest = (name if value is True else f"{name}={value}" for name, value in options.items())
    return " ".join([f"{{{fields}}}", *rest])


async def plan(database: AsyncDatabase[Raw], *, lean: bool = False) -> Plan:
    """Compare every collection of ours with the table, by one `listIndexes` each, all at once.

    Args:
        database: a collection that it does not have counts as one without indexes.
        lean: do without indexes that are a prefix of another; those that are there are redundant,
            not unknown.
    """
    listings = await asyncio.gather(
        *(_existing(database, document.collection_name()) for document in DOCUMENTS)
    )
    findings = (
        compare(document.collection_name(), INDEXES.get(document, []), existing, lean=lean)
        for document, existing in zip(DOCUMENTS, listings, strict=True)
    )
    return Plan(tuple(chain.from_iterable(findings)), lean)


async def verify(database: AsyncDatabase[Raw], *, lean: bool = False) -> list[str]:
    """The drift of a database as lines to read; none where it has exactly the table's indexes."""
    return [str(finding) for finding in (await plan(database, lean=lean)).drift]


async def missing(database: AsyncDatabase[Raw], *, lean: bool = False) -> list[str]:
    """Names of missing indexes as `users.email_1`, those among them that are still being built
    (`/readyz`)."""
    return [
        f"{finding.collection}.{finding.name}"
        for finding in (await plan(database, lean=lean)).of(Kind.MISSING)
    ]


def compare(
    collection: str, table: Sequence[Index], existing: Sequence[Existing], *, lean: bool = False
) -> Iterator[Finding]:
    """The findings of one collection, those of the table first."""
    names = {index.name for index in table}
    covers = redundant(table)
    known = {"_id_"}
    for index in table:
        same_name = [old for old in existing if old.name == index.name]
        same_keys = [
            old
            for old in existing
            if old.keys == tuple(index.keys.items()) and old.name not in names
        ]
        fits = any(old.does(index) and not old.building for old in same_name)
        cover = covers.get(index.name)
        wanted = cover is None or not lean
        there = tuple(same_name if fits else same_name + same_keys if wanted else [])
        known.update(old.name for old in there)
        if cover and (there or not lean):
            yield Finding(Kind.REDUNDANT, collection, index.name, index, there, cover)
        if wanted and not fits:
            yield _misfit(collection, index, there)
    for old in existing:
        if old.name not in known:
            yield Finding(Kind.UNKNOWN, collection, old.name, existing=(old,))


async def apply(
    database: AsyncDatabase[Raw],
    planned: Plan,
    *,
    replace: bool = False,
    prune: bool = False,
    progress: Progress | None = None,
) -> list[Finding]:
    """Mend what a plan found: build what is missing, change expiry times, remove stand-ins that
    were left.

    Any number of processes may do this at once. Nothing is done of which another process has
    changed the state that the plan saw.

    Args:
        database: of a client whose user may change indexes.
        planned: what `plan` gave.
        replace: also put the table's definition in the place of another.
        prune: also drop unknown indexes and, of a lean plan, redundant ones.
        progress: told of each step.

    Returns:
        The findings that were mended.

    Raises:
        DuplicatesFound: documents stand in the way of a unique index. Nothing was changed; if they
            were written while other indexes were built, nothing in their collection.
    """
    kinds = {Kind.MISSING, Kind.TTL} | ({Kind.CHANGED} if replace else set())
    if prune:
        kinds |= {Kind.UNKNOWN, Kind.REDUNDANT} if planned.lean else {Kind.UNKNOWN}
    todo = [finding for finding in planned.findings if finding.kind in kinds or finding.stand_in]
    drops = any(finding.kind not in (Kind.MISSING, Kind.TTL) for finding in todo)
    # 0 is no limit, where None would mean that of the client, which is sent along with
    # `createIndexes` as well.
    with pymongo.timeout(0):
        async with _alone(database) if drops else nullcontext():
            if drops:
                current = (await plan(database, lean=planned.lean)).findings
                todo = [finding for finding in todo if finding in current]
            await _refuse_duplicates(database, todo)
            # Duplicates may be written after that look. The driver's error has the value in it, so
            # it must not get out.
            with suppress(DuplicateKeyError):
                await _mend(database, todo, progress or (lambda _done, _total, _what: None))
                return todo
            await _refuse_duplicates(database, todo)
            raise DuplicatesFound([])


async def find_duplicates(
    database: AsyncDatabase[Raw], collection: str, index: Index
) -> Duplicates | None:
    """The documents that a unique index would refuse, None where there are none. Reads the whole
    collection.

    Fields are taken as the table has them: scalars, an absent one being equal to null.
    """
    selected: Raw = dict(index.options.get("partialFilterExpression", {}))
    if index.options.get("sparse"):
        selected = {"$or": [{name: {"$exists": True}} for name in index.keys]}
    values = {f"k{place}": {"$ifNull": [f"${name}", None]} for place, name in enumerate(index.keys)}
    ids = {"$firstN": {"input": "$_id", "n": IDS_SHOWN}}
    pipeline: list[Raw] = [
        {"$match": selected},
        {"$group": {"_id": values, "count": {"$sum": 1}, "ids": ids}},
        {"$match": {"count": {"$gt": 1}}},
        {"$limit": GROUPS_SHOWN + 1},
    ]
    cursor = await database[collection].aggregate(pipeline, allowDiskUse=True)
    groups = tuple([(row["count"], tuple(row["ids"])) async for row in cursor])
    return Duplicates(collection, tuple(index.keys), groups) if groups else None


async def _existing(database: AsyncDatabase[Raw], collection: str) -> list[Existing]:
    try:
        # Without `includeBuildUUIDs` an index that is half built looks like any other.
        listing = await database.command("listIndexes", collection, includeBuildUUIDs=True)
    except OperationFailure as error:
        if error.code == _NO_COLLECTION:
            return []
        raise
    return [
        _listed(row.get("spec", row), "buildUUID" in row) for row in listing["cursor"]["firstBatch"]
    ]


def _listed(spec: Raw, building: bool) -> Existing:
    options = {
        name: value
        for name, value in spec.items()
        if name not in _NOT_OPTIONS and value is not False
    }
    if "collation" in options:  # the server adds what it means in full
        options["collation"] = {name: options["collation"][name] for name in _COLLATION}
    return Existing(spec["name"], tuple(spec["key"].items()), options, building)


def _misfit(collection: str, index: Index, there: tuple[Existing, ...]) -> Finding:
    if all(
        old.does(index) and old.name == index.name for old in there
    ):  # none at all, or one that is being built
        return Finding(Kind.MISSING, collection, index.name, index)
    kind = Kind.TTL if len(there) == 1 and _differs_in_time(there[0], index) else Kind.CHANGED
    return Finding(kind, collection, index.name, index, there)


def _differs_in_time(old: Existing, index: Index) -> bool:
    """Whether `collMod` makes the one the other; it cannot take an expiry time away."""
    if _TTL not in index.options or old.name != index.name or old.building:
        return False
    return with_fields(old, options={**old.options, _TTL: index.options[_TTL]}).does(index)


async def _refuse_duplicates(database: AsyncDatabase[Raw], todo: Collection[Finding]) -> None:
    looked = [
        await find_duplicates(database, finding.collection, finding.index)
        for finding in todo
        if finding.kind in (Kind.MISSING, Kind.CHANGED)
        and finding.index
        and finding.index.options.get("unique")
    ]
    if found := [duplicates for duplicates in looked if duplicates]:
        raise DuplicatesFound(found)


async def _mend(database: AsyncDatabase[Raw], todo: Sequence[Finding], progress: Progress) -> None:
    """Build first and drop last, so that what covers for an index is there before the index
    goes."""
    done = 0
    absent = [finding for finding in todo if finding.kind is Kind.MISSING]
    for collection, group in groupby(absent, key=lambda finding: finding.collection):
        wanted = [finding.index for finding in group if finding.index]
        progress(done, len(todo), f"building {len(wanted)} of {collection}")
        await _build(database[collection], wanted)
        done += len(wanted)
    others = [finding for finding in todo if finding.kind is not Kind.MISSING]
    for finding in sorted(
        others, key=lambda finding: finding.kind in (Kind.UNKNOWN, Kind.REDUNDANT)
    ):
        progress(
            done, len(todo), f"mending {finding.kind.value} {finding.collection}.{finding.name}"
        )
        await _mend_one(database[finding.collection], finding)
        done += 1
    progress(done, len(todo), "done")


async def _mend_one(collection: AsyncCollection[Raw], finding: Finding) -> None:
    if finding.kind is Kind.CHANGED and finding.index:
        await _replace(collection, finding.index, finding.existing)
    elif finding.kind is Kind.TTL and finding.index:
        change = {"name": finding.name, _TTL: finding.index.options[_TTL]}
        await collection.database.command("collMod", collection.name, index=change)
    else:
        for old in finding.existing:
            await _drop(collection, old.name)


async def _replace(
    collection: AsyncCollection[Raw], index: Index, existing: Sequence[Existing]
) -> None:
    """Put an index in the place of others.

    Two indexes of one name or definition cannot be there at once, so for the time between drop and
    build a stand-in with all directions reversed serves the same queries and keeps the same values
    unique. If it cannot be built, the old index is still there; if the process dies, the stand-in
    is, until `apply` finds it.
    """
    reversed_keys = {name: -direction for name, direction in index.keys.items()}
    options = {name: value for name, value in index.options.items() if name != _TTL}
    stand_in = IndexModel(reversed_keys, name=STAND_IN + index.name, **options)
    await _drop(
        collection, STAND_IN + index.name
    )  # one of an interrupted attempt may be of another definition
    try:
        await collection.create_indexes([stand_in])
    except OperationFailure as error:
        if error.code != _SAME_INDEX:  # there is such an index already, and it does as well
            raise
    for old in existing:
        await _drop(collection, old.name)
    await _build(collection, [index])
    await _drop(collection, STAND_IN + index.name)


async def _build(collection: AsyncCollection[Raw], wanted: Sequence[Index]) -> None:
    """Build indexes by one scan of the collection: all of them, or none."""
    models = [IndexModel(dict(index.keys), name=index.name, **index.options) for index in wanted]
    await collection.create_indexes(models)


async def _drop(collection: AsyncCollection[Raw], name: str) -> None:
    try:
        await collection.drop_index(name)
    except OperationFailure as error:
        if error.code != _NO_INDEX:
            raise


@asynccontextmanager
async def _alone(database: AsyncDatabase[Raw]) -> AsyncIterator[None]:
    """Hold the lease on dropping indexes: else two processes that replace one index drop each
    other's new one."""
    leases, holder = database["leases"], ObjectId()
    await leases.update_one(_LEASE, {"$setOnInsert": {"holder": None}}, upsert=True)
    while not await _claim(leases, holder):  # noqa: ASYNC110  # it is another process that is waited for
        await asyncio.sleep(0.2)
    renewal = asyncio.create_task(_renew(leases, holder))
    try:
        yield
    finally:
        renewal.cancel()
        with suppress(asyncio.CancelledError):
            await renewal
        await leases.update_one({**_LEASE, "holder": holder}, {"$set": {"holder": None}})


async def _claim(leases: AsyncCollection[Raw], holder: ObjectId) -> bool:
    """Take or prolong the lease, by the server's clock; False where another process holds it."""
    free = {"$or": [{"$in": ["$holder", [None, holder]]}, {"$lt": ["$until", "$$NOW"]}]}
    taken = {"holder": holder, "until": {"$add": ["$$NOW", _LEASE_SECONDS * 1000]}}
    result = await leases.update_one({**_LEASE, "$expr": free}, [{"$set": taken}])
    return result.matched_count == 1


async def _renew(leases: AsyncCollection[Raw], holder: ObjectId) -> None:
    while True:
        await asyncio.sleep(_LEASE_SECONDS / 3)
        await _claim(leases, holder)
