"""RESTRICT: who forbids a deletion."""

from typing import Any, Final

from bson import ObjectId

from app.errors import Restricted
from models.base import Raw, Session, Stored
from models.relations import RELATIONS, OnDelete, Relation, Relations, children_of, references_of

_NAMED: Final = 100


async def find_blockers(
    root: type[Stored],
    root_id: ObjectId,
    *,
    session: Session = None,
    relations: Relations = RELATIONS,
) -> list[dict[str, Any]]:
    """Who refers to a root by RESTRICT and does not go in the same deletion, `{"collection", "ids",
    "reason"}` each.

    Only references to the root itself are looked at: `app.relations.table` sees to it that whoever
    restricts a document deeper down goes with the root. At most 100 ids are named.

    Args:
        root: the root's collection.
        root_id: the root.
        session: of the transaction that deletes it; whoever goes in it may be gone already.
        relations: the table.
    """
    found = []
    for relation in children_of(root, relations):
        if relation.on_delete is not OnDelete.RESTRICT:
            continue
        where = {relation.stored: root_id, **relation.when}
        ids: list[ObjectId] = []
        async for row in relation.child.raw().find(where, session=session):
            if not await _goes_with(relation.child, row, root, root_id, session, relations, set()):
                ids.append(row["_id"])
            if len(ids) == _NAMED:
                break
        if ids:
            name = relation.child.collection_name()
            found.append(
                {
                    "collection": name,
                    "ids": [str(each) for each in ids],
                    "reason": _reason(relation),
                }
            )
    return found


def refuse(root: type[Stored], blockers: list[dict[str, Any]]) -> None:
    """Raise Restricted where there are blockers, naming them."""
    if blockers:
        reasons = "; ".join(
            f"{blocker['reason']}: {', '.join(blocker['ids'][:10])}" for blocker in blockers
        )
        raise Restricted(
            f"the {root.noun()} cannot be deleted: {reasons}", extra={"blockers": blockers}
        )


def _reason(relation: Relation) -> str:
    name = relation.child.collection_name()
    if not relation.when:
        return f"{name} refer to it by {relation.stored}"
    condition = ", ".join(f"{field} is {_spelled(value)}" for field, value in relation.when.items())
    return f"{name} refer to it by {relation.stored} whose {condition}"


def _spelled(value: Any) -> str:
    options = value.get("$in") if isinstance(value, dict) else None
    return " or ".join(map(str, options)) if options else str(value)


async def _goes_with(
    child: type[Stored],
    row: Raw,
    root: type[Stored],
    root_id: ObjectId,
    session: Session,
    relations: Relations,
    seen: set[ObjectId],
) -> bool:
    """Whether a document goes with the root: whether a way up by CASCADE ends there. Cycles end."""
    seen.add(row["_id"])
    for relation in references_of(child, relations):
        if (
            relation.on_delete is not OnDelete.CASCADE
            or (parent_id := row.get(relation.stored)) is None
        ):
            continue
        if relation.parent is root and parent_id == root_id:
            return True
        if parent_id in seen:
            continue
        above = await relation.parent.raw().find_one({"_id": parent_id}, session=session)
        if above and await _goes_with(
            relation.parent, above, root, root_id, session, relations, seen
        ):
            return True
    return False
