"""Deletion, one path for every size: a commit point, a sweep, and a later sweep for what was under
way meanwhile.

The protocol, and why it leaves no orphan, is told in docs/guarantees.md.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, TypeVar

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.errors import NotFound
from app.ledger import waited_for
from app.relations.blockers import find_blockers, refuse
from app.relations.hooks import Hooks
from app.relations.merging.carry import carry_over
from app.relations.plan import collect
from app.relations.sweep import Pass, collection_of, sweep
from app.relations.take import (
    cascades,
    closes_stripes,
    freed,
    is_parent,
    projection,
    release,
    releases,
    take,
)
from app.settings import Settings
from app.web.etags import tag_of
from app.web.observability.measures import LATE_SWEPT
from app.web.preconditions import mismatch
from models.base import Raw, Stored, now
from models.deletion import Deletion, Stage
from models.guard import Guard
from models.job import Job
from models.ledger_note import LedgerNote, of_deletions
from models.living import is_living
from models.precondition import Expected
from models.relations import RELATIONS, Relations

D = TypeVar("D", bound=Stored)
SWEEP_JOB: Final = "sweep-deletion"
_ATTEMPTS_AT_ONCE: Final = 3
_TAKEN_OVER: Final = timedelta(
    seconds=30
)  # by a worker, where the process that deletes does not get to the end
_RESWEEP: Final = timedelta(days=1)
_RESWEPT_FOR: Final = timedelta(days=30)


async def delete_root(
    root: type[D],
    root_id: ObjectId,
    by: str,
    settings: Settings,
    hooks: Hooks,
    *,
    where: Raw | None = None,
    expected: Expected | None = None,
    shown: Callable[[D], Mapping[str, Any]] = lambda document: {"version": document.version},
    allowed: Callable[[Raw, AsyncClientSession], Awaitable[None]] | None = None,
    relations: Relations = RELATIONS,
    forced: bool = False,
) -> Deletion:
    """Delete a document and all that hangs off it.

    Args:
        root: its collection.
        root_id: its id, which is never used again.
        by: who deletes it.
        settings: how large a tree goes at once, how long to sweep before the rest is left to a job.
        hooks: called with what goes or is released.
        where: a further filter, its tenant: a root that does not match is as good as not there.
        expected: the precondition that must hold for the root when it goes; None for none.
        shown: the root as `GET` sends it, for the problem's `current`.
        allowed: raises, within the transaction, where the root as it is stored then is not to go.
        relations: the table.
        forced: whatever forbids it loses its reference instead: it was deleted before.

    Returns:
        The ledger's entry. Where it is not `swept`, a job of the same id goes on.

    Raises:
        NotFound: it is not there (any more).
        VersionMismatch: the precondition does not hold; nothing was changed.
        Restricted: something refers to it that forbids its deletion; nothing was changed.
    """
    place = {**(where or {}), "_id": root_id}

    async def take_root(session: AsyncClientSession) -> Raw:
        row = await root.raw().find_one_and_delete(
            place | (expected.of(tag_of(root_id)).where() if expected else {}), session=session
        )
        found = row or await root.raw().find_one(place, session=session)
        if found is None or not await is_living(root, found, session=session, relations=relations):
            raise NotFound(f"there is no such {root.noun()}")
        if allowed is not None:
            await allowed(found, session)
        if row is None:
            raise mismatch(expected, shown(root.from_stored(found)), root_id)
        return found

    ledger = await _commit(root, root_id, take_root, by, settings, hooks, relations, forced=forced)
    await go_on(ledger, settings, hooks, relations, forced=forced)
    return ledger


async def go_on(
    ledger: Deletion,
    settings: Settings,
    hooks: Hooks,
    relations: Relations = RELATIONS,
    *,
    forced: bool = False,
) -> None:
    """Sweep for as long as the caller waits; a job does the rest."""
    unclaimed: Raw = {"_id": ledger.id, "fence": 0}  # a worker that has the job by now ends it, too
    deadline = time.monotonic() + settings.deletion_inline_seconds
    await sweep(ledger, hooks, deadline=deadline, relations=relations, forced=forced)
    if ledger.swept:
        await Job.raw().delete_one(unclaimed)
    else:
        await Job.raw().update_one(unclaimed, {"$set": {"runAt": now()}})


async def _commit(
    root: type[Stored],
    root_id: ObjectId,
    take_root: Callable[[AsyncClientSession], Awaitable[Raw]],
    by: str,
    settings: Settings,
    hooks: Hooks,
    relations: Relations,
    *,
    forced: bool,
) -> Deletion:
    """The commit point: the root goes and the ledger's entry comes in one transaction, a small tree
    with them.

    The root is deleted first, so that whoever writes to it at the same time is the one to try
    again. Where writers of its children are faster time after time, the children are left to the
    sweep: they must not hold up the deletion.
    """
    plan = await collect(root, root_id, most=settings.deletion_small_tree, relations=relations)
    attempts = 0

    async def commit(session: AsyncClientSession) -> Deletion:
        nonlocal attempts
        attempts += 1
        row = await take_root(session)
        if (hook := hooks.going.get(root)) is not None:
            await hook([row], session)
        if closes_stripes(root, relations):
            await Guard.close(root_id, session=session)
        ledger = entry_of(root, root_id, by, settings)
        tree = _Tree(ledger, session, hooks, relations)
        await tree.take(root, whole=plan.complete and attempts <= _ATTEMPTS_AT_ONCE)
        if not forced:
            refuse(root, await find_blockers(root, root_id, session=session, relations=relations))
        if tree.whole and not forced:
            await tree.release()
        await begin(ledger, session)
        return ledger

    committed: Deletion = await transaction(commit)
    return committed


async def begin(ledger: Deletion, session: AsyncClientSession) -> None:
    """Write an entry, what is to be noted of it outside, and the job that ends it, in the
    transaction of the commit."""
    await LedgerNote.enter(of_deletions([ledger.stored()]), session)
    job = Job(id=ledger.id, kind=SWEEP_JOB, run_at=ledger.at + _TAKEN_OVER)
    for begun in (ledger, job):  # of one that a restored backup brought back they are there
        row = begun.stored()
        await begun.raw().replace_one({"_id": row["_id"]}, row, upsert=True, session=session)


def entry_of(root: type[Stored], root_id: ObjectId, by: str, settings: Settings) -> Deletion:
    """The ledger's entry of a document that goes now."""
    moment = now()
    return Deletion(
        id=PydanticObjectId(root_id),
        root=root.collection_name(),
        by=by,
        at=moment,
        deleted={root.collection_name(): 1},
        next_sweep_at=moment + timedelta(seconds=settings.deletion_fence_seconds),
    )


class _Tree:
    """What goes in the committing transaction: everything where it is little, the credentials
    always."""

    def __init__(
        self, ledger: Deletion, session: AsyncClientSession, hooks: Hooks, relations: Relations
    ) -> None:
        self.whole = False
        self._ledger = ledger
        self._session = session
        self._hooks, self._relations = hooks, relations
        self._gone: list[tuple[type[Stored], dict[ObjectId, Deletion]]] = []

    async def take(self, root: type[Stored], *, whole: bool) -> None:
        """Take what goes with the root: all of it, or the credentials that hang off the root
        itself."""
        self.whole = whole
        wave = [(root, {ObjectId(self._ledger.id): self._ledger})]
        while wave:
            parent, entries = wave.pop(0)
            self._gone.append((parent, entries))
            for relation in cascades(parent, self._relations):
                if not whole and not relation.at_once:
                    continue
                where = {relation.stored: {"$in": list(entries)}}
                cursor = relation.child.raw().find(
                    where, projection(relation), session=self._session
                )
                rows = await cursor.to_list()
                counts = await take(
                    relation, rows, entries, self._session, self._hooks, self._relations
                )
                self._count(self._ledger.deleted, relation.child, counts)
                if rows and whole and is_parent(relation.child, self._relations):
                    name = relation.child.collection_name()
                    wave.append(
                        (
                            relation.child,
                            {row["_id"]: self._ledger.of_child(row["_id"], name) for row in rows},
                        )
                    )

    async def release(self) -> None:
        """Take away the references of what stays."""
        for parent, entries in self._gone:
            for relation in releases(parent, self._relations):
                where = freed(relation, entries)
                cursor = relation.child.raw().find(
                    where, projection(relation), session=self._session
                )
                rows = await cursor.to_list()
                counts = await release(relation, rows, entries, self._session, self._hooks)
                self._count(self._ledger.nulled, relation.child, counts)

    def _count(
        self, receipt: dict[str, int], child: type[Stored], counts: Counter[ObjectId]
    ) -> None:
        if counts:
            receipt[child.collection_name()] = (
                receipt.get(child.collection_name(), 0) + counts.total()
            )


class Found(Enum):
    """What a later sweep found of a deleted document: late arrivals, the document itself, or that
    the ledger outside does not have it."""

    NOTHING = "nothing"
    LATE = "late"
    ALIVE = "alive"
    UNNOTED = "unnoted"


async def sweep_again(
    ledgers: list[Deletion],
    settings: Settings,
    hooks: Hooks,
    relations: Relations = RELATIONS,
    hold: Callable[[AsyncClientSession], Awaitable[None]] | None = None,
) -> int:
    """The sweep after the fence, and each daily one after it; a receipt is final when a pass
    removes nothing.

    Args:
        ledgers: entries of documents of one collection.
        settings: the fence.
        hooks: called with what goes or is released.
        relations: the table.
        hold: raises, within the transaction that notes what was found, where the job is another
            worker's by now.

    Returns:
        How many late arrivals were removed or released.
    """
    moment = now()
    merged = [ledger for ledger in ledgers if ledger.into is not None]
    plain = [ledger for ledger in ledgers if ledger.into is None]
    late = Pass(collection_of(ledgers[0].root, relations), plain, hooks, relations)
    removed = await late.run(Stage.CASCADE)
    removed += await late.run(Stage.RELEASE)
    for ledger in merged:
        found = await carry_over(ledger, hooks, relations=relations)
        removed += found
        late.late |= {ledger.id} if found or ledger.into is None else set()
    LATE_SWEPT.inc(removed)
    unnoted = await waited_for(settings, [ledger.credited for ledger in ledgers])

    async def note(session: AsyncClientSession) -> None:
        if hold is not None:
            await hold(session)
        for ledger in ledgers:
            found = Found.LATE if ledger.id in late.late else Found.NOTHING
            found = Found.ALIVE if ledger.id in late.spared else found
            found = Found.UNNOTED if ledger.credited in unnoted else found
            await _schedule(ledger, moment, settings, session, found)

    await transaction(note)
    for root_id in {ledger.credited for ledger in ledgers if ledger.id in late.late}:
        if (root := await Deletion.find_by_id(root_id)) is not None:
            # where what came late had something hanging off it
            await sweep(root, hooks, relations=relations)
    return removed


async def _schedule(
    ledger: Deletion,
    moment: datetime,
    settings: Settings,
    session: AsyncClientSession,
    found: Found,
) -> None:
    """Note what a later sweep found of one deletion, and when the next is to be."""
    settled = (
        found is Found.NOTHING
        and ledger.swept
        and (ledger.of is not None or not await Deletion.has_unsettled(ledger.id, session))
    )
    changes: Raw = {"final": settled or ledger.final, "updatedAt": moment}
    fence = timedelta(seconds=settings.deletion_fence_seconds)
    following = moment + (_RESWEEP if settled or found is Found.ALIVE else fence)
    if following > ledger.at + _RESWEPT_FOR and changes["final"]:
        update: Raw = {"$set": changes, "$unset": {"nextSweepAt": ""}}
    else:
        update = {"$set": changes | {"nextSweepAt": following}}
    await Deletion.raw().update_one({"_id": ledger.id}, update, session=session)
