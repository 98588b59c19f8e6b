"""The sweep: what hangs off a deleted root goes in batches, level by level, and can be resumed at
any point.

The protocol, and why it leaves no orphan, is told in docs/guarantees.md.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.relations.guards import values_at
from app.relations.hooks import Hooks
from app.relations.merging.carry import carry_over
from app.relations.take import cascades, freed, is_parent, projection, release, releases, take
from app.web.observability import log
from app.web.observability.measures import LIVING_ROOTS
from models import DOCUMENTS
from models.base import Raw, Stored, now
from models.deletion import Deletion, Stage
from models.relations import RELATIONS, Relation, Relations

BATCH: Final = 500
_BATCH_OF_PARENTS: Final = 100
_GROUP: Final = 100
_REST: Final = (
    0.5  # seconds of rest for each second of work, so that requests get their share of the database
)

_NAMED: Final = 20
_ALIVE: Final = (
    "deleted documents live, and nothing of theirs was swept: was a backup restored?"
    " python -m scripts integrity check names them; delete them again"
)

_Act = Callable[[list[Raw], AsyncClientSession], Awaitable[Counter[ObjectId]]]


def collection_of(name: str, relations: Relations = RELATIONS) -> type[Stored]:
    """The document class of a collection that others hang off, or of any other."""
    known = (*(relation.parent for relation in relations), *DOCUMENTS)
    return next(document for document in known if document.collection_name() == name)


async def sweep(
    ledger: Deletion,
    hooks: Hooks,
    *,
    deadline: float | None = None,
    relations: Relations = RELATIONS,
    forced: bool = False,
) -> int:
    """Remove what hangs off a deleted root, in batches found outside their transactions, so that
    every earlier commit
    is seen: first all that goes with it, level by level, then the references of what stays.

    Args:
        ledger: the root's entry; its counts and stage are kept up to date, in the database too.
        hooks: called with what goes or is released.
        deadline: on the monotonic clock: stop there, to be continued; None to go through.
        relations: the table.
        forced: release those as well that should have forbidden the deletion (the audit's repair).

    Returns:
        How many documents were removed or released.
    """
    total = 0
    if ledger.into is not None:
        total = await carry_over(ledger, hooks, deadline=deadline, relations=relations)
        if ledger.into is not None:
            return total
    for stage, follows in ((Stage.CASCADE, Stage.RELEASE), (Stage.RELEASE, Stage.DONE)):
        while group := await _next_group(ledger, stage):
            parent = collection_of(group[0].root, relations)
            pass_ = Pass(parent, group, hooks, relations, deadline, forced=forced)
            total += await pass_.run(stage)
            if pass_.stopped:
                return total
            await Deletion.move_on([entry.id for entry in group], stage, follows)
            if group[0].id == ledger.id:
                ledger.stage = follows
            if is_over(deadline) and not ledger.swept:
                return total
    counted = await Deletion.find_by_id(ledger.id)
    if counted is not None:
        ledger.deleted, ledger.nulled = counted.deleted, counted.nulled
    return total


async def _next_group(ledger: Deletion, stage: Stage) -> list[Deletion]:
    """The root's entry, then groups of those that came with it, as far as they are at this
    stage."""
    if ledger.stage == stage and (stage == Stage.CASCADE or not await _any_pending(ledger, stage)):
        return [ledger]
    return await Deletion.find_pending(ledger.id, stage, _GROUP)


async def _any_pending(ledger: Deletion, stage: Stage) -> bool:
    return bool(await Deletion.find_pending(ledger.id, stage, 1))


def is_over(deadline: float | None) -> bool:
    """Whether a time on the monotonic clock has passed."""
    return deadline is not None and time.monotonic() > deadline


class _RootLives(Exception):  # a finding, which `Pass` acts on
    """What was to be swept hangs off documents that are there."""

    def __init__(self, ids: set[ObjectId]) -> None:
        super().__init__()
        self.ids = ids


class Pass:
    """One pass over all that refers to a group of deleted documents of one collection.

    Attributes:
        found: how many documents were removed or released, by the entry that counts them.
        late: the deleted documents of which something was found.
        spared: the documents that live though they were deleted, as after a restored backup: what
            hangs off them is theirs, and stays.
        stopped: the deadline came before the end.
    """

    def __init__(
        self,
        parent: type[Stored],
        group: list[Deletion],
        hooks: Hooks,
        relations: Relations = RELATIONS,
        deadline: float | None = None,
        *,
        forced: bool = False,
    ) -> None:
        self.found: Counter[ObjectId] = Counter()
        self.late: set[ObjectId] = set()
        self.spared: set[ObjectId] = set()
        self.stopped = False
        self._parent = parent
        self._entries: dict[ObjectId, Deletion] = {entry.id: entry for entry in group}
        self._hooks, self._relations = hooks, relations
        self._deadline = deadline
        self._forced = forced

    async def run(self, stage: Stage) -> int:
        """Go through the relations of a stage. Returns how many documents were removed or
        released."""
        before = self.found.total()
        for relation in (cascades if stage == Stage.CASCADE else releases)(
            self._parent, self._relations
        ):
            size, found = BATCH, BATCH
            while found == size:
                size, found = await self._batch(relation, stage)
                if found and is_over(self._deadline):
                    self.stopped = True
                    return self.found.total() - before
        return self.found.total() - before

    async def _batch(self, relation: Relation, stage: Stage) -> tuple[int, int]:
        """Find a batch, then take or release it in one transaction with its count, so that the
        receipt is exact.

        Returns:
            How many were looked for, and how many were found. What comes after a batch that was not
            full comes by a lease that is still warm, and is for a later sweep.
        """
        started = time.monotonic()
        size = _BATCH_OF_PARENTS if is_parent(relation.child, self._relations) else BATCH
        where = {relation.stored: {"$in": list(self._entries)}}
        if stage == Stage.RELEASE:
            where = freed(relation, self._entries, forced=self._forced)
        rows = await relation.child.raw().find(where, projection(relation)).limit(size).to_list()
        if not rows:
            return size, 0
        act = self._act(relation, stage)
        field = "deleted" if stage == Stage.CASCADE else "nulled"

        async def work(session: AsyncClientSession) -> Counter[ObjectId]:
            await self._see_that_none_lives(rows, relation, session)
            counts = await act(rows, session)
            for entry_id, count in counts.items():
                change = {
                    "$inc": {f"{field}.{relation.child.collection_name()}": count},
                    "$set": {"updatedAt": now()},
                }
                await Deletion.raw().update_one({"_id": entry_id}, change, session=session)
            return counts

        try:
            self.found += await transaction(work)
        except _RootLives as found:
            self._spare(found.ids)
            return size, size  # look again, without what is theirs
        self.late |= self._entries.keys() & {
            value for row in rows for value in values_at(row, relation.stored)
        }
        await asyncio.sleep((time.monotonic() - started) * _REST)
        return size, len(rows)

    async def _see_that_none_lives(
        self, rows: list[Raw], relation: Relation, session: AsyncClientSession
    ) -> None:
        """Raise _RootLives where a document of which these rows were found is there (again)."""
        parents = {value for row in rows for value in values_at(row, relation.stored)}
        where = {"_id": {"$in": list(parents & self._entries.keys())}}
        found = self._parent.raw().find(where, {"_id": 1}, session=session)
        if alive := {row["_id"] async for row in found}:
            raise _RootLives(alive)

    def _spare(self, alive: set[ObjectId]) -> None:
        """Look for no more that hangs off these documents, count them, and say so."""
        name = self._parent.collection_name()
        self.spared |= alive
        self._entries = {key: each for key, each in self._entries.items() if key not in alive}
        LIVING_ROOTS.labels(name).inc(len(alive))
        log.error(_ALIVE, root=name, ids=[str(each) for each in sorted(alive)[:_NAMED]])

    def _act(self, relation: Relation, stage: Stage) -> _Act:
        async def taken(rows: list[Raw], session: AsyncClientSession) -> Counter[ObjectId]:
            return await take(relation, rows, self._entries, session, self._hooks, self._relations)

        async def released(rows: list[Raw], session: AsyncClientSession) -> Counter[ObjectId]:
            return await release(
                relation, rows, self._entries, session, self._hooks, forced=self._forced
            )

        return taken if stage == Stage.CASCADE else released
