"""Whether a document lives: it is there, and so is all that it goes with. What is still to be swept
does not."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from bson import ObjectId
from pymongo.read_concern import ReadConcern

from models.base import Raw, Session, Stored
from models.relations import RELATIONS, OnDelete, Relation, Relations, references_of

_NOBODY: Final = ObjectId("0" * 24)


async def is_living(
    document: type[Stored], row: Raw, *, session: Session = None, relations: Relations = RELATIONS
) -> bool:
    """Whether what a stored document goes with (CASCADE) is still there: no query where it goes
    with nothing.

    Between the commit of a large deletion and the end of its sweep, a document may be there
    without.
    """
    for relation in _above(document, relations):
        parent_id = _parent(row, relation)
        if parent_id is None:
            continue
        # which may be on its way out: a cycle of references comes back to it
        below = frozenset({row["_id"]})
        if parent_id not in await living(
            relation.parent, [parent_id], session=session, relations=relations, below=below
        ):
            return False
    return True


def _parent(row: Raw, relation: Relation) -> Any:
    """Whose id a row has in a field; what is no id is nobody's, so that the row does not live."""
    found = row.get(relation.stored)
    return found if found is None or isinstance(found, (ObjectId, str)) else _NOBODY


async def only_living(
    document: type[Stored], rows: Sequence[Raw], *, relations: Relations = RELATIONS
) -> list[Raw]:
    """Those of these stored documents that live, in their order: one query for each level that they
    go with."""
    kept = list(rows)
    for relation in _above(document, relations):
        parents = {
            parent for row in kept if (parent := _parent(row, relation)) not in (None, _NOBODY)
        }
        there = {None} | (
            await living(relation.parent, parents, relations=relations) if parents else set()
        )
        kept = [row for row in kept if _parent(row, relation) in there]
    return kept


async def living(
    document: type[Stored],
    ids: Collection[ObjectId],
    *,
    session: Session = None,
    concern: ReadConcern | None = None,
    relations: Relations = RELATIONS,
    below: frozenset[ObjectId] = frozenset(),
    noted: Mapping[str, dict[ObjectId, Any]] | None = None,
) -> set[ObjectId]:
    """Those of these ids whose documents live: one query, and one more for each level that they go
    with.

    Args:
        document: their collection.
        ids: which.
        session: of a transaction.
        concern: read concern; None for the client's.
        relations: the table.
        below: ids on the way here, which a cycle of references comes back to.
        noted: by stored field, what is filled with that field of the documents that have it, by id.
    """
    above = _above(document, relations)
    rows = await _rows(document, list(ids), above, noted or (), session, concern)
    for name, values in (noted or {}).items():
        values |= {row["_id"]: row[name] for row in rows if name in row}
    for relation in above:
        parents = {
            row[relation.stored] for row in rows if row.get(relation.stored) is not None
        } - below
        if parents:
            there = await living(
                relation.parent,
                parents,
                session=session,
                concern=concern,
                relations=relations,
                below=below | {row["_id"] for row in rows},
            )
            known = there | below | {None}
            rows = [row for row in rows if row.get(relation.stored) in known]
    return {row["_id"] for row in rows}


async def _rows(
    document: type[Stored],
    ids: list[ObjectId],
    above: Iterable[Relation],
    noted: Iterable[str],
    session: Session,
    concern: ReadConcern | None,
) -> list[Raw]:
    """What is there of these ids, with what it goes with and what is noted."""
    fields = {"_id": 1, **{each.stored: 1 for each in above}, **dict.fromkeys(noted, 1)}
    where: Raw = {"_id": ids[0] if len(ids) == 1 else {"$in": ids}}
    raw = document.raw() if concern is None else document.raw().with_options(read_concern=concern)
    return await raw.find(where, fields, session=session).to_list()


def _above(document: type[Stored], relations: Relations) -> list[Relation]:
    return [
        relation
        for relation in references_of(document, relations)
        if relation.on_delete is OnDelete.CASCADE
    ]
