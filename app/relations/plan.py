"""The plan of a deletion: everything that hangs off a root, found by walking the table of relations."""

from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from models.base import Session, Stored
from models.relations import RELATIONS, Relation


@dataclass(slots=True)
class Plan:
    """What deleting a root does.

    Attributes:
        delete: documents that go, per collection, the root among them.
        nulled: documents whose reference is taken away, per collection.
        blockers: what forbids it, `{"collection", "ids", "reason"}` each.
        ids: the ids that were found of collections that are parents themselves.
        complete: false where counting stopped because there are more than was asked for.
    """

    delete: dict[str, int] = field(default_factory=dict)
    nulled: dict[str, int] = field(default_factory=dict)
    blockers: list[dict[str, Any]] = field(default_factory=list)
    ids: dict[type[Stored], set[ObjectId]] = field(default_factory=dict)
    complete: bool = True

    @property
    def total(self) -> int:
        """How many documents go."""
        return sum(self.delete.values())


async def collect(
    root: type[Stored],
    root_id: ObjectId,
    *,
    most: int | None = None,
    session: Session = None,
    relations: tuple[Relation, ...] = RELATIONS,
) -> Plan:
    """Walk the whole graph below a root before anything is changed; diamonds and cycles are visited once.

    Args:
        root: the root's collection.
        root_id: the root.
        most: stop when more documents than this are found: it is enough to know that they are many.
        session: of the transaction that will delete them.
        relations: the table.
    """
    plan = Plan(ids={root: {root_id}})
    existing = await root.raw().count_documents({"_id": root_id}, session=session)
    plan.delete[root.collection_name()] = existing
    wave: list[tuple[type[Stored], set[ObjectId]]] = [(root, {root_id})]
    while wave and plan.complete:
        parent, ids = wave.pop()
        for relation in relations:
            if relation.parent is parent and plan.complete:
                await _visit(plan, relation, ids, wave, most, session, relations)
    return plan


async def _visit(
    plan: Plan,
    relation: Relation,
    parents: set[ObjectId],
    wave: list[tuple[type[Stored], set[ObjectId]]],
    most: int | None,
    session: Session,
    relations: tuple[Relation, ...],
) -> None:
    """Add the children by one relation to the plan, and to the wave where they may have children of their own."""
    child = relation.child
    query = {relation.stored: {"$in": list(parents)}}
    if any(other.parent is child for other in relations):
        rows = child.raw().find(query, {"_id": 1}, session=session)
        fresh = {row["_id"] async for row in rows} - plan.ids.setdefault(child, set())
        plan.ids[child] |= fresh
        found = len(fresh)
        if fresh:
            wave.append((child, fresh))
    else:
        limit = {} if most is None else {"limit": most + 1}
        found = await child.raw().count_documents(query, session=session, **limit)
    name = child.collection_name()
    plan.delete[name] = plan.delete.get(name, 0) + found
    plan.complete = most is None or plan.total <= most
