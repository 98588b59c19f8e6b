"""What hangs off a person who was merged becomes the other's: in batches, which can be resumed at
any point (docs/merging.md)."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from app.database import transaction
from app.relations.hooks import Carried, Hooks, Merge
from app.web.observability import log
from app.web.observability.measures import LIVING_ROOTS
from models.base import Raw, Stored, now
from models.deletion import Deletion, Stage
from models.living import is_living
from models.relations import RELATIONS, OnMerge, Relation, Relations, children_of
from models.user import User

BATCH: Final = 100
_REST: Final = 0.5  # seconds for each second of work, as a sweep rests
_LIVES: Final = "a person lives who was merged into another: was a backup restored?"


class _Lives(Exception):  # a finding, which `carry_over` acts on
    """Who was merged is there (again)."""


class _TargetGone(Exception):  # likewise
    """Whom they were merged into is gone."""


async def carry_over(
    ledger: Deletion,
    hooks: Hooks,
    *,
    deadline: float | None = None,
    relations: Relations = RELATIONS,
) -> int:
    """Move whatever refers to somebody who was merged.

    Where who they are now cannot be told, nothing is moved and nothing goes: rows were damaged, and
    only whoever mends them knows.

    Where the target was deleted meanwhile the entry becomes that of a plain deletion, `into` None:
    what is left goes, as it would have with the target.

    Args:
        ledger: their entry; its counts and stage are kept up to date, in the database too.
        hooks: of the domains.
        deadline: on the monotonic clock: stop there, to be continued; None to go through.
        relations: the table.

    Returns:
        How many documents were moved, or went.

    Raises:
        Unreadable: merges lead in a circle (`app.relations.merging.circles`).
    """
    total = 0
    try:
        for relation in children_of(User, relations):
            while done := await _batch(ledger, relation, hooks):
                total += done
                if deadline is not None and time.monotonic() > deadline:
                    return total
    except _TargetGone:
        await _delete_instead(ledger)
        return total
    except _Lives:
        LIVING_ROOTS.labels(ledger.root).inc()
        log.error(_LIVES, ids=[str(ledger.id)])
    await _over(ledger)
    return total


async def _over(ledger: Deletion) -> None:
    await Deletion.move_on([ledger.id], Stage.CASCADE, Stage.DONE)
    ledger.stage = Stage.DONE
    if (counted := await Deletion.find_by_id(ledger.id)) is not None:
        ledger.moved, ledger.deleted = counted.moved, counted.deleted


async def _batch(ledger: Deletion, relation: Relation, hooks: Hooks) -> int:
    """Find some outside of a transaction, so that every earlier commit is seen, and move them in
    one, with their count. How many were found."""
    started = time.monotonic()
    where = {relation.stored: ledger.id}
    rows = await relation.child.raw().find(where, {"_id": 1}).limit(BATCH).to_list()
    if not rows:
        return 0

    async def work(session: AsyncClientSession) -> None:
        target = await _target(ledger, session)
        merge = Merge(ObjectId(ledger.id), target, ledger.chosen or {})
        carried = await carry(relation, rows, merge, session, hooks)
        counts = counted(relation.child, carried)
        if counts:
            update: Raw = {"$inc": counts, "$set": {"updatedAt": now()}}
            await Deletion.raw().update_one({"_id": ledger.id}, update, session=session)

    while True:
        try:
            await transaction(work)
            break
        except DuplicateKeyError:  # the target has just got the same: it is looked at again
            continue
    await asyncio.sleep((time.monotonic() - started) * _REST)
    return len(rows)


async def _target(ledger: Deletion, session: AsyncClientSession) -> ObjectId:
    """Whom the source is by now, written in this transaction, which conflicts with a deletion of
    theirs, or another merge."""
    if await User.raw().find_one({"_id": ledger.id}, {"_id": 1}, session=session):
        raise _Lives
    target = await Deletion.merged_into(ObjectId(ledger.id), session)
    row = await User.raw().find_one_and_update(
        {"_id": target}, {"$inc": {"guard": 1}}, session=session
    )
    if target is None or row is None or not await is_living(User, row, session=session):
        raise _TargetGone
    return target


async def _delete_instead(ledger: Deletion) -> None:
    gone: Raw = {"$unset": {"into": "", "chosen": ""}}
    gone["$set"] = {"stage": Stage.CASCADE.value, "final": False, "updatedAt": now()}
    await Deletion.raw().update_one({"_id": ledger.id}, gone)
    ledger.into, ledger.stage, ledger.final = None, Stage.CASCADE, False


async def carry(
    relation: Relation,
    rows: Sequence[Raw],
    merge: Merge,
    session: AsyncClientSession,
    hooks: Hooks,
) -> Carried:
    """Move, or take away, children of the source that were found by a relation.

    Raises:
        pymongo.errors.DuplicateKeyError: the target has got the same meanwhile; look again.
    """
    ids = [row["_id"] for row in rows]
    where: Raw = {"_id": {"$in": ids}, relation.stored: merge.source}
    if relation.on_merge in (OnMerge.DROP, OnMerge.FIELDS):
        gone = await relation.child.raw().delete_many(where, session=session)
        return Carried(deleted=gone.deleted_count)
    if (mover := hooks.moving.get(relation.child)) is not None:
        return await mover(rows, merge, session)
    update: Raw = {"$set": {relation.stored: merge.target}}
    if relation.on_merge is OnMerge.AT_ONCE:  # what is read by itself, under a version
        update |= {"$inc": {"version": 1}}
        update["$set"]["updatedAt"] = now()
    done = await relation.child.raw().update_many(where, update, session=session)
    return Carried(moved=done.modified_count)


def counted(child: type[Stored], carried: Carried) -> dict[str, int]:
    """What a receipt adds up: `moved.appdata` and `deleted.appdata`, as `$inc` names them."""
    counts = {"moved": carried.moved, "deleted": carried.deleted}
    return {f"{kind}.{child.collection_name()}": count for kind, count in counts.items() if count}
