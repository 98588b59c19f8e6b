"""Compares the table of indexes with a database, and mends the difference so that no value is
unprotected meanwhile."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace as with_fields
from itertools import chain, groupby
from typing import Final

import pymongo
from pymongo import IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError, OperationFailure

from indexes.definitions import INDEXES
from indexes.duplicates import DuplicatesFound, find_duplicates
from indexes.findings import STAND_IN, Existing, Finding, Kind, Plan
from indexes.index import SHARD_INDEX, Index
from indexes.lease import alone
from indexes.stats import dispensable
from models import DOCUMENTS
from models.base import Raw

_NO_COLLECTION, _NO_INDEX, _SAME_INDEX = 26, 27, 85
_TTL: Final = "expireAfterSeconds"
# Versions, names and an option that has had no effect since MongoDB 4.2: none changes what an index
# does.
_NOT_OPTIONS: Final = frozenset({"v", "key", "name", "ns", "background"})
_COLLATION: Final = ("locale", "strength")

Progress = Callable[[int, int, str], None]
"""Told before each step: how many steps are done, how many there are, and what comes now."""


async def plan(database: AsyncDatabase[Raw], *, lean: bool = False) -> Plan:
    """Compare every collection of ours with the table, by one `listIndexes` each, all at once.

    Args:
        database: a collection that it does not have counts as one without indexes.
        lean: do without indexes that no operation of ours needs, among them those that are a prefix
            of another; those that are there are redundant, not unknown.
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
    covers = dispensable(table)
    known = {"_id_"}
    for index in table:
        same_name = [old for old in existing if old.name == index.name]
        same_keys = [
            old
            for old in existing
            if old.keys == tuple(index.keys.items()) and old.name not in names
        ]
        fits = any(old.does(index) and not old.building for old in same_name)
        wanted = index.name not in covers or not lean
        there = tuple(same_name if fits else same_name + same_keys if wanted else [])
        known.update(old.name for old in there)
        if index.name in covers and (there or not lean):
            cover = covers[index.name]
            yield Finding(Kind.REDUNDANT, collection, index.name, index, there, cover)
        if wanted and not fits:
            yield _misfit(collection, index, there)
    for old in existing:
        if old.name not in known and old.name != SHARD_INDEX:
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
        async with alone(database) if drops else nullcontext():
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
