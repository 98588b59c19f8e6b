"""Deletion, one path for every size: a commit point, a sweep, and a later sweep for what was under way meanwhile.

The protocol, and why it leaves no orphan, is told in docs/architecture.md.
"""

import time
from datetime import timedelta
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.errors import NotFound
from app.observability import LATE_SWEPT
from app.relations.plan import Plan, collect
from app.settings import Settings
from models import DOCUMENTS
from models.app_data import Expected
from models.base import Stored, now
from models.deletion import Deletion
from models.job import Job
from models.relations import RELATIONS, Relation, children_of

SWEEP_JOB: Final = "sweep-deletion"
_BATCH: Final = 1000
_ATTEMPTS_AT_ONCE: Final = 3
_TAKEN_OVER: Final = timedelta(seconds=30)  # by a worker, where the process that deletes does not get to the end
_RESWEEP: Final = timedelta(days=1)
_RESWEPT_FOR: Final = timedelta(days=30)


async def delete_root(
    root: type[Stored], root_id: ObjectId, by: str, settings: Settings, *, expected: Expected | None = None
) -> Deletion:
    """Delete a document and all that hangs off it.

    Args:
        root: its collection.
        root_id: its id, which is never used again.
        by: who deletes it.
        settings: how large a tree goes at once, how long to sweep before the rest is left to a job.
        expected: what the root must be like when it goes; None for any.

    Returns:
        The ledger's entry. Where it is not `swept`, a job of the same id goes on.

    Raises:
        NotFound: it is not there (any more), or not as expected.
    """
    ledger = await _commit(root, root_id, by, settings, expected)
    deadline = time.monotonic() + settings.deletion_inline_seconds
    await sweep(ledger, deadline=deadline)
    if ledger.swept:
        await Job.raw().delete_one({"_id": root_id})
    else:
        await Job.raw().update_one({"_id": root_id}, {"$set": {"runAt": now()}})
    return ledger


async def _commit(
    root: type[Stored], root_id: ObjectId, by: str, settings: Settings, expected: Expected | None
) -> Deletion:
    """The commit point: the root goes and the ledger's entry comes in one transaction, a small tree with them.

    The root is deleted first, so that whoever writes to it at the same time is the one to try again. Where writers of
    its children are faster time after time, the children are left to the sweep: they must not hold up the deletion.
    """
    plan = await collect(root, root_id, most=settings.deletion_small_tree)
    attempts = 0

    async def commit(session: AsyncClientSession) -> Deletion:
        nonlocal attempts
        attempts += 1
        where = {"_id": root_id, **(expected.where() if expected else {})}
        result = await root.raw().delete_one(where, session=session)
        if result.deleted_count == 0:
            raise NotFound("there is no such document")
        at_once = plan.complete and attempts <= _ATTEMPTS_AT_ONCE
        counts = await _delete_tree(plan, session) if at_once else {}
        moment = now()
        ledger = Deletion(
            id=root_id,
            root=root.collection_name(),
            by=by,
            at=moment,
            deleted={root.collection_name(): 1, **counts},
            next_sweep_at=moment + timedelta(seconds=settings.deletion_fence_seconds),
        )
        await ledger.add(session)
        await Job(id=root_id, kind=SWEEP_JOB, run_at=moment + _TAKEN_OVER).add(session)
        return ledger

    return await transaction(commit)


async def _delete_tree(plan: Plan, session: AsyncClientSession) -> dict[str, int]:
    counts: dict[str, int] = {}
    for relation in RELATIONS:
        if parents := plan.ids.get(relation.parent):
            query = {relation.stored: {"$in": list(parents)}}
            result = await relation.child.raw().delete_many(query, session=session)
            if result.deleted_count:
                counts[relation.child.collection_name()] = result.deleted_count
    return counts


async def sweep(ledger: Deletion, *, deadline: float | None = None) -> int:
    """Remove what hangs off a deleted root, in batches outside its transaction, so that every earlier commit is seen.

    Args:
        ledger: the deletion; its counts and `swept` are kept up to date, in the database too.
        deadline: on the monotonic clock: stop there, to be continued; None to go through.

    Returns:
        How many documents were removed.
    """
    root = next(document for document in DOCUMENTS if document.collection_name() == ledger.root)
    total = 0
    for relation in children_of(root):  # children that are parents themselves come with the relations issue
        more = True
        while more:
            found = await _sweep_batch(ledger, relation)
            total += found
            more = (
                found == _BATCH
            )  # fewer: what comes now comes by a lease that is still warm, and is for a later sweep
            if more and deadline is not None and time.monotonic() > deadline:
                return total
    if not ledger.swept:
        ledger.swept = True
        await Deletion.raw().update_one({"_id": ledger.id}, {"$set": {"swept": True, "updatedAt": now()}})
    return total


async def _sweep_batch(ledger: Deletion, relation: Relation) -> int:
    """Find a batch of orphans, then delete them and count them in one transaction, so that the receipt is exact."""
    collection, name = relation.child.raw(), relation.child.collection_name()
    rows = await collection.find({relation.stored: ledger.id}, {"_id": 1}).limit(_BATCH).to_list()
    if not rows:
        return 0
    ids = [row["_id"] for row in rows]

    async def remove(session: AsyncClientSession) -> int:
        result = await collection.delete_many({"_id": {"$in": ids}}, session=session)
        counted = {"$inc": {f"deleted.{name}": result.deleted_count}, "$set": {"updatedAt": now()}}
        await Deletion.raw().update_one({"_id": ledger.id}, counted, session=session)
        return result.deleted_count

    ledger.deleted[name] = ledger.deleted.get(name, 0) + await transaction(remove)
    return len(ids)


async def sweep_again(ledger: Deletion, settings: Settings) -> int:
    """The sweep after the fence, and each daily one after it; the receipt is final when a pass removes nothing.

    Returns:
        How many late arrivals were removed.
    """
    moment = now()
    removed = await sweep(ledger)
    LATE_SWEPT.inc(removed)
    changes: dict[str, object] = {"final": removed == 0 or ledger.final, "updatedAt": moment}
    following = moment + (timedelta(seconds=settings.deletion_fence_seconds) if removed else _RESWEEP)
    if following > ledger.at + _RESWEPT_FOR and changes["final"]:
        update = {"$set": changes, "$unset": {"nextSweepAt": ""}}
    else:
        update = {"$set": changes | {"nextSweepAt": following}}
    await Deletion.raw().update_one({"_id": ledger.id}, update)
    return removed
