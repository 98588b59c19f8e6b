"""What a deletion does to children, in a transaction: takes them away, or takes away their
reference."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.relations.guards import values_at
from app.relations.hooks import Hooks
from models.base import Raw, Stored, now
from models.deletion import Deletion
from models.guard import Guard
from models.outside_link import OWNING, OutsideLink
from models.relations import RELATIONS, Insert, OnDelete, Relation, Relations, children_of


def cascades(parent: type[Stored], relations: Relations = RELATIONS) -> list[Relation]:
    """The relations by which children go with a parent."""
    return [
        relation
        for relation in children_of(parent, relations)
        if relation.on_delete is OnDelete.CASCADE
    ]


def releases(parent: type[Stored], relations: Relations = RELATIONS) -> list[Relation]:
    """The relations by which children stay and lose their reference."""
    return [relation for relation in children_of(parent, relations) if _frees(relation)]


def _frees(relation: Relation) -> bool:
    if relation.on_delete is OnDelete.RESTRICT:
        return bool(relation.when)
    return relation.on_delete is not OnDelete.CASCADE


def freed(relation: Relation, parents: Iterable[ObjectId], *, forced: bool = False) -> Raw:
    """The filter of those children of these parents that stay and lose their reference.

    Args:
        relation: by which they refer.
        parents: to whom.
        forced: those as well that would have forbidden the deletion: the parent is gone
            nevertheless.
    """
    where: Raw = {relation.stored: {"$in": list(parents)}}
    if relation.on_delete is OnDelete.RESTRICT and not forced:
        where["$nor"] = [dict(relation.when)]
    return where


def is_parent(document: type[Stored], relations: Relations = RELATIONS) -> bool:
    """Whether others hang off documents of this collection."""
    return any(relation.parent is document for relation in relations)


def closes_stripes(document: type[Stored], relations: Relations = RELATIONS) -> bool:
    """Whether documents of this collection have guard documents, which go with them."""
    return any(relation.insert is Insert.STRIPED for relation in children_of(document, relations))


def projection(relation: Relation) -> dict[str, int]:
    """What has to be read of a child to take or release it."""
    return {"_id": 1, relation.stored: 1}


async def take(
    relation: Relation,
    rows: Sequence[Raw],
    entries: dict[ObjectId, Deletion],
    session: AsyncClientSession,
    hooks: Hooks,
    relations: Relations = RELATIONS,
) -> Counter[ObjectId]:
    """Delete children that were found by a relation, and enter those that others hang off into the
    ledger.

    Args:
        relation: by which they were found.
        rows: the children, by `projection`.
        entries: the ledger's entries of their parents.
        session: of the transaction.
        hooks: called with them before they go.
        relations: the table.

    Returns:
        How many were still there, by the ledger's entry that counts them.
    """
    collection = relation.child.raw()
    parents = {row["_id"]: entries[_parent_of(row, relation, entries)] for row in rows}
    where = {"_id": {"$in": list(parents)}}
    hook = hooks.going.get(relation.child)
    found = await collection.find(
        where, {"_id": 1} if hook is None else None, session=session
    ).to_list()
    if not found:
        return Counter()
    if hook is not None:
        await hook(found, session)
    if is_parent(relation.child, relations):
        name = relation.child.collection_name()
        fresh = [parents[row["_id"]].of_child(row["_id"], name) for row in found]
        await Deletion.enter(fresh, session=session)
        if name in OWNING:
            await _credit_links(fresh, session)
    if closes_stripes(relation.child, relations):
        for row in found:
            await Guard.close(row["_id"], session=session)
    await collection.delete_many(where, session=session)
    return Counter(parents[row["_id"]].credited for row in found)


async def _credit_links(entries: Sequence[Deletion], session: AsyncClientSession) -> None:
    """Have the receipts of the roots count what is left to remove outside of documents that go with
    them."""
    gone: defaultdict[ObjectId, list[ObjectId]] = defaultdict(list)
    for entry in entries:
        gone[entry.credited].append(ObjectId(entry.id))
    for root_id, ids in gone.items():
        await OutsideLink.credit(root_id, ids, session)


async def release(
    relation: Relation,
    rows: Sequence[Raw],
    entries: dict[ObjectId, Deletion],
    session: AsyncClientSession,
    hooks: Hooks,
    *,
    forced: bool = False,
) -> Counter[ObjectId]:
    """Take away the reference of children that were found by a relation; their versions move on.

    Returns:
        How many still had it, by the ledger's entry that counts them.
    """
    collection = relation.child.raw()
    parents = {row["_id"]: entries[_parent_of(row, relation, entries)] for row in rows}
    where = {"_id": {"$in": list(parents)}, **freed(relation, entries, forced=forced)}
    hook = hooks.released.get(relation.child)
    found = await collection.find(
        where, {"_id": 1} if hook is None else None, session=session
    ).to_list()
    if not found:
        return Counter()
    if hook is not None:
        await hook(found, session)
    await collection.update_many(where, _without(relation, entries), session=session)
    return Counter(parents[row["_id"]].credited for row in found)


def _without(relation: Relation, parents: Iterable[ObjectId]) -> Raw:
    """The update that takes the reference away."""
    update: Raw = {"$inc": {"version": 1}, "$set": {**relation.companion, "updatedAt": now()}}
    if relation.on_delete is OnDelete.PULL:
        items, _, name = relation.stored.partition(".")
        gone = {"$in": list(parents)}
        return {**update, "$pull": {items: {name: gone} if name else gone}}
    return {**update, "$unset": {relation.stored: ""}}


def _parent_of(row: Raw, relation: Relation, entries: dict[ObjectId, Deletion]) -> ObjectId:
    return next(value for value in values_at(row, relation.stored) if value in entries)
