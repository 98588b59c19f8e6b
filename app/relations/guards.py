"""References, checked when they are written, in a transaction that conflicts with the parent's
deletion."""

from collections.abc import Collection, Mapping
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from app.errors import BadReference, NotFound, Problem
from models.base import Stored
from models.guard import Guard
from models.living import is_living
from models.relations import RELATIONS, Insert, Relation, Relations, references_of


async def check_references(
    child: type[Stored],
    row: Mapping[str, Any],
    session: AsyncClientSession,
    *,
    only: Collection[str] | None = None,
    relations: Relations = RELATIONS,
) -> None:
    """Check the references of a document that is about to be written, before it is, in the same
    transaction.

    Each parent must live, take children, and be of the child's tenant. Its guard is counted up, so
    that of this transaction and a deletion of the parent one is run again and sees the other.
    References that are absent or null and those of HOT relations (which need a lease instead) are
    left alone.

    Args:
        child: the document's collection.
        row: the document, by stored names, with its `_id`.
        session: of the transaction that writes it.
        only: stored names of the references that changed; None for all.
        relations: the table.

    Raises:
        BadReference: a parent that a field names is not there or is of another tenant (400, naming
            the field).
        NotFound: a parent that stands in the request's path is not there.
    """
    for relation in references_of(child, relations):
        if relation.insert is Insert.HOT or (only is not None and relation.stored not in only):
            continue
        for parent_id in values_at(row, relation.stored):
            if not await _is_there(relation, parent_id, row, session):
                raise refusal(relation)


def refusal(relation: Relation) -> Problem:
    """What a client is told whose reference is refused."""
    if relation.refused is None:
        return NotFound(f"there is no such {relation.parent.noun()}")
    return BadReference(relation.refused, relation.stored)


def values_at(row: Mapping[str, Any], path: str) -> list[ObjectId]:
    """The ids that a document has at a stored path, through a list where there is one."""
    if not isinstance(row, Mapping):  # an item that is no document
        return []
    first, _, rest = path.partition(".")
    value = row.get(first)
    if not rest:
        return [] if value is None else [value]
    items = value if isinstance(value, list) else [value] if value else []
    return [found for item in items for found in values_at(item, rest)]


async def _is_there(
    relation: Relation, parent_id: ObjectId, row: Mapping[str, Any], session: AsyncClientSession
) -> bool:
    if relation.insert is Insert.STRIPED:
        return await Guard.count_up(parent_id, row["_id"], session=session)
    where: dict[str, Any] = {"_id": parent_id}
    if relation.stored_tenant is not None:
        where[relation.stored_tenant] = row.get(relation.stored_tenant)
    return await _count_up(relation.parent, where, session)


async def _count_up(
    parent: type[Stored], where: Mapping[str, Any], session: AsyncClientSession
) -> bool:
    row = await parent.raw().find_one_and_update(where, {"$inc": {"guard": 1}}, session=session)
    return row is not None and await is_living(parent, row, session=session)
