"""The plan of a merge: what would become whose, and what both have."""

from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId

from app.errors import BadReference
from app.relations.merging.commit import missing
from app.relations.merging.conflicts import app_data_conflicts, blockers_of, joined
from models.base import Raw
from models.living import is_living
from models.relations import RELATIONS, OnMerge, Relations, children_of
from models.user import User


@dataclass(slots=True)
class MergePlan:
    """What merging one person into another does.

    Attributes:
        moved: documents that become the other's, per collection.
        deleted: documents that go, per collection, the person among them.
        conflicts: what both have, of which one can have one.
        blockers: what forbids it, `{"collection", "ids", "reason"}` each.
    """

    moved: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    blockers: list[dict[str, Any]] = field(default_factory=list)


async def plan_merge(
    source_id: ObjectId, target_id: ObjectId, relations: Relations = RELATIONS
) -> MergePlan:
    """Look at what hangs off the source, by the table of relations; nothing is changed.

    Raises:
        NotFound, Merged: the source is not there, or merged already.
        BadReference: the target is not there.
    """
    source, target = await _living(source_id), await _living(target_id)
    if source is None:
        raise await missing(source_id)
    if target is None:
        raise BadReference("there is no such user", "into")
    plan = MergePlan(deleted={User.collection_name(): 1})
    for relation in children_of(User, relations):
        count = await relation.child.raw().count_documents({relation.stored: source_id})
        goes = relation.on_merge in (OnMerge.DROP, OnMerge.FIELDS)
        if count:
            (plan.deleted if goes else plan.moved)[relation.child.collection_name()] = count
    found = await joined(source, target, {})
    plan.conflicts = [*found.conflicts, *await app_data_conflicts(source_id, target_id)]
    plan.blockers = await blockers_of(source, target, found)
    return plan


async def _living(user_id: ObjectId) -> Raw | None:
    row = await User.raw().find_one({"_id": user_id})
    return row if row is not None and await is_living(User, row) else None
