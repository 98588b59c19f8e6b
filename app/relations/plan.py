"""The plan of a deletion: everything that hangs off a root, found by walking the table of
relations."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from bson import ObjectId

from app.relations.blockers import find_blockers
from app.relations.take import cascades, freed, is_parent, releases
from models.base import Stored
from models.relations import RELATIONS, Relation, Relations, references_of

_TOGETHER: Final = 1000


@dataclass(slots=True)
class Plan:
    """What deleting a root does.

    Attributes:
        delete: documents that go, per collection, the root among them.
        nulled: documents whose reference is taken away, per collection.
        blockers: what forbids it, `{"collection", "ids", "reason"}` each.
        ids: the ids that were found, of the collections for which they matter.
        complete: false where counting stopped because there are more than was asked for.
    """

    delete: dict[str, int] = field(default_factory=dict)
    nulled: dict[str, int] = field(default_factory=dict)
    blockers: list[dict[str, Any]] = field(default_factory=list)
    ids: dict[type[Stored], set[ObjectId]] = field(default_factory=dict)
    complete: bool = True

    @property
    def total(self) -> int:
        """How many documents are touched."""
        return sum(self.delete.values()) + sum(self.nulled.values())


async def collect(
    root: type[Stored],
    root_id: ObjectId,
    *,
    most: int | None = None,
    relations: Relations = RELATIONS,
) -> Plan:
    """Walk the whole graph below a root before anything is changed; diamonds and cycles are visited
    once.

    Children that others hang off, or that can be reached in two ways, are kept by id; the rest are
    counted.

    Args:
        root: the root's collection.
        root_id: the root.
        most: stop when more documents than this are found: it is enough to know that they are many.
        relations: the table.
    """
    plan = Plan(ids={root: {root_id}})
    existing = await root.raw().count_documents({"_id": root_id})
    plan.delete[root.collection_name()] = existing
    wave: list[tuple[type[Stored], set[ObjectId]]] = [(root, {root_id})]
    while wave and plan.complete:
        parent, ids = wave.pop()
        for relation in cascades(parent, relations):
            for some in _chunks(ids):
                if plan.complete:
                    await _visit(plan, relation, some, wave, most, relations)
    for parent, ids in list(plan.ids.items()):
        for relation in releases(parent, relations):
            for some in _chunks(ids):
                if plan.complete:
                    await _count_released(plan, relation, some, most)
    if plan.complete:
        plan.blockers = await find_blockers(root, root_id, relations=relations)
    return plan


async def _visit(
    plan: Plan,
    relation: Relation,
    parents: list[ObjectId],
    wave: list[tuple[type[Stored], set[ObjectId]]],
    most: int | None,
    relations: Relations,
) -> None:
    """Add the children by one relation to the plan, and to the wave where they may have children of
    their own."""
    child = relation.child
    query = {relation.stored: {"$in": parents}}
    limit: dict[str, Any] = {} if most is None else {"limit": most + 1}
    if is_parent(child, relations) or len(references_of(child, relations)) > 1:
        rows = child.raw().find(query, {"_id": 1}, **limit)
        fresh = {row["_id"] async for row in rows} - plan.ids.setdefault(child, set())
        plan.ids[child] |= fresh
        found = len(fresh)
        if fresh:
            wave.append((child, fresh))
    else:
        found = await child.raw().count_documents(query, **limit)
    _add(plan, plan.delete, child, found, most)


async def _count_released(
    plan: Plan, relation: Relation, parents: list[ObjectId], most: int | None
) -> None:
    """Count those who stay and lose a reference; whoever forbids the deletion is not among them."""
    child, going = relation.child, plan.ids.get(relation.child, set())
    query = freed(relation, parents)
    limit: dict[str, Any] = {} if most is None else {"limit": most + 1}
    if going:
        rows = child.raw().find(query, {"_id": 1}, **limit)
        found = len([row async for row in rows if row["_id"] not in going])
    else:
        found = await child.raw().count_documents(query, **limit)
    _add(plan, plan.nulled, child, found, most)


def _add(
    plan: Plan, counts: dict[str, int], child: type[Stored], found: int, most: int | None
) -> None:
    name = child.collection_name()
    if found:
        counts[name] = counts.get(name, 0) + found
    plan.complete = most is None or plan.total <= most


def _chunks(ids: set[ObjectId]) -> Iterator[list[ObjectId]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _TOGETHER):
        yield ordered[start : start + _TOGETHER]
