"""The integrity audit: finds orphans and references across tenants, and mends them as the table's
policies say.

The three SQL checks that the card programme requires are rows of it:
cards against users and profiles of another account, and orphaned cards.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import transaction
from app.relations.guards import values_at
from app.relations.hooks import Hooks
from app.relations.sweep import sweep
from app.relations.table import is_nullable
from app.relations.take import release
from app.web.observability import log
from models.aside import ROW_FAULTS
from models.base import Raw, now
from models.deletion import Deletion
from models.in_order import in_order
from models.integrity import IntegrityScan
from models.relations import RELATIONS, OnDelete, Relation, Relations

BATCH: Final = 1000

Progress = Callable[[Relation, int], None]


class Kind(StrEnum):
    """What is wrong with a reference; PENDING is nothing wrong: a sweep will come by. MALFORMED is
    an orphan by what is no id: nobody can say whose it is, and it is left to you."""

    ORPHAN = "orphan"
    MISMATCH = "mismatch"
    PENDING = "pending"
    MALFORMED = "malformed"


_COUNTED: Final = {
    "orphans": (Kind.ORPHAN, Kind.MALFORMED),
    "mismatches": (Kind.MISMATCH,),
    "pending": (Kind.PENDING,),
}
"""Field of a scan -> the kinds that it counts."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A child whose reference is wrong. `tenant` is the child's, where the relation has one."""

    relation: Relation
    kind: Kind
    child_id: Any
    parent_id: Any
    tenant: Any = None


async def check(
    *,
    restart: bool = False,
    progress: Progress = lambda _relation, _seen: None,
    relations: Relations = RELATIONS,
) -> list[IntegrityScan]:
    """Scan every relation, or go on with a scan that was cut short; memory is bounded by a batch of
    children.

    Args:
        restart: begin anew where a scan is under way.
        progress: called after each batch with how many children it had.
        relations: the table.

    Returns:
        What was found, a scan for each relation.

    Raises:
        LostScan: another check has taken over, and goes on from where this one was.
    """
    scans = []
    for relation in relations:
        scan = await IntegrityScan.begin(relation.label, restart=restart)
        async for rows, faults in _batches(relation, scan.after):
            counts = {"scanned": len(rows)}
            for field, kinds in _COUNTED.items():
                counts[field] = sum(fault.kind in kinds for fault in faults)
            named = [_named(fault) for fault in faults if fault.kind is not Kind.PENDING]
            await scan.advance(rows[-1]["_id"], counts, named)
            progress(relation, len(rows))
        scans.append(await scan.finish())
    return scans


async def faults_of(relation: Relation) -> AsyncIterator[list[Fault]]:
    """The faults of a relation as they are now, batch by batch; whatever a sweep is still to take
    is not among them."""
    async for _, faults in _batches(relation, None):
        if wrong := [fault for fault in faults if fault.kind is not Kind.PENDING]:
            yield wrong


def remedy(fault: Fault) -> str:
    """What `repair` does about a fault, in words; empty where the policy does not say."""
    relation = fault.relation
    if fault.kind is Kind.MALFORMED:
        return ""
    if fault.kind is Kind.ORPHAN and relation.on_delete is OnDelete.CASCADE:
        return "delete it and what hangs off it"
    if relation.on_delete is OnDelete.PULL:
        return "take the item out of the list"
    if not is_nullable(relation.child, relation.field.split(".", maxsplit=1)[0]):
        return ""
    companion = "".join(f" and set {name} to {value}" for name, value in relation.companion.items())
    return f"set {relation.stored} to null{companion}"


async def repair(
    faults: list[Fault], by: str, hooks: Hooks, *, relations: Relations = RELATIONS
) -> int:
    """Mend faults of one relation as its policy says. Those without a remedy are left.

    A parent that is missing is entered into the ledger of deletions and swept like any deleted
    document, so that whatever else hangs off it is mended with it, and later sweeps follow.

    Args:
        faults: of one batch.
        by: who repairs.
        hooks: called with what goes or is released.
        relations: the table.

    Returns:
        How many documents were deleted or changed.
    """
    mendable = [fault for fault in faults if remedy(fault)]
    missing = {fault.parent_id: fault.relation for fault in mendable if fault.kind is Kind.ORPHAN}
    mended = 0
    for parent_id, relation in missing.items():
        entry = Deletion.model_validate(
            {
                "_id": parent_id,
                "root": relation.parent.collection_name(),
                "by": by,
                "at": now(),
                "nextSweepAt": now(),
            }
        )
        await Deletion.enter([entry], session=None)
        await Deletion.begin_again(ObjectId(entry.id))
        mended += await _where_it_can(
            partial(sweep, entry, hooks, relations=relations, forced=True)
        )
    for fault in mendable:
        if fault.kind is Kind.MISMATCH:
            mended += await _where_it_can(partial(_released, fault, hooks))
    return mended


async def _where_it_can(mend: Callable[[], Awaitable[int]]) -> int:
    """How many documents were mended; 0 where one of them is too damaged to be changed."""
    try:
        return await mend()
    except ROW_FAULTS as error:
        log.error(
            "a damaged document cannot be mended: see to it by hand", error=type(error).__name__
        )
        return 0


async def _released(fault: Fault, hooks: Hooks) -> int:
    return await transaction(lambda session: _release([fault], hooks, session))


async def _release(faults: list[Fault], hooks: Hooks, session: AsyncClientSession) -> int:
    """Take away references across tenants, of those that still have them."""
    total = 0
    for fault in faults:
        relation = fault.relation
        where = {
            "_id": fault.child_id,
            relation.stored: fault.parent_id,
            relation.stored_tenant: fault.tenant,
        }
        rows = await relation.child.raw().find(where, session=session).to_list()
        entry = Deletion.model_validate(
            {
                "_id": fault.parent_id,
                "root": relation.parent.collection_name(),
                "by": "integrity",
                "at": now(),
            }
        )
        total += (
            await release(relation, rows, {fault.parent_id: entry}, session, hooks, forced=True)
        ).total()
    return total


async def _batches(relation: Relation, after: Any) -> AsyncIterator[tuple[list[Raw], list[Fault]]]:
    """Children in the order of their ids, with the faults among them."""
    fields = {"_id": 1, relation.stored: 1}
    if relation.stored_tenant is not None:
        fields[relation.stored_tenant] = 1
    async for rows in in_order(relation.child, fields, after, BATCH):
        yield rows, await _faults(relation, rows)


async def _faults(relation: Relation, rows: list[Raw]) -> list[Fault]:
    references = [(row, parent_id) for row in rows for parent_id in values_at(row, relation.stored)]
    odd = [
        Fault(relation, Kind.MALFORMED, row["_id"], parent_id)
        for row, parent_id in references
        if not isinstance(parent_id, ObjectId)
    ]
    references = [pair for pair in references if isinstance(pair[1], ObjectId)]
    wanted = list({parent_id for _, parent_id in references})
    if not wanted:
        return odd
    tenant = relation.stored_tenant
    fields = {"_id": 1} if tenant is None else {"_id": 1, tenant: 1}
    there = {
        row["_id"]: row
        async for row in relation.parent.raw().find({"_id": {"$in": wanted}}, fields)
    }
    gone = [parent_id for parent_id in wanted if parent_id not in there]
    swept_later = {"_id": {"$in": gone}, "final": False}
    pending = (
        {row["_id"] async for row in Deletion.raw().find(swept_later, {"_id": 1})}
        if gone
        else set()
    )
    found = odd
    for row, parent_id in references:
        own = None if tenant is None else row.get(tenant)
        if parent_id not in there:
            kind = Kind.PENDING if parent_id in pending else Kind.ORPHAN
            found.append(Fault(relation, kind, row["_id"], parent_id, own))
        elif tenant is not None and there[parent_id].get(tenant) != own:
            found.append(Fault(relation, Kind.MISMATCH, row["_id"], parent_id, own))
    return found


def _named(fault: Fault) -> Raw:
    return {"kind": fault.kind.value, "id": str(fault.child_id), "parentId": str(fault.parent_id)}
