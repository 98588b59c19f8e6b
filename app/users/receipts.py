"""How plans of deletions and their receipts are sent."""

from typing import Annotated, Any

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field

from app.relations.plan import Plan
from models.base import Fields, Timestamp
from models.deletion import Deletion


class DeletionPlan(Fields):
    """What a deletion would do."""

    id: PydanticObjectId
    deleted: Annotated[dict[str, int], Field(description="Documents that would go, per collection.")]
    nulled: Annotated[dict[str, int], Field(description="Documents that would lose their reference.")]
    blockers: Annotated[list[dict[str, Any]], Field(description="What forbids it, and why.")]


class Receipt(Fields):
    """What a deletion did. `final` once the sweep after the fence has found nothing more.

    `swept` is there, and false, only while a job goes on: the counts are those so far.
    """

    id: PydanticObjectId
    deleted: dict[str, int]
    nulled: dict[str, int]
    at: Timestamp
    final: bool
    swept: Annotated[bool, Field(exclude_if=bool, description="Only while it is false: a job goes on.")] = True


class Started(Fields):
    """A deletion whose sweep goes on as a job."""

    job_id: str


def plan_view(root_id: ObjectId, plan: Plan) -> DeletionPlan:
    """A plan as sent: collections with something to do."""
    return DeletionPlan(
        id=PydanticObjectId(root_id),
        deleted={name: count for name, count in plan.delete.items() if count},
        nulled=plan.nulled,
        blockers=plan.blockers,
    )


def receipt_of(ledger: Deletion) -> Receipt:
    """The receipt that the ledger's entry makes."""
    return Receipt(
        id=ledger.id,
        deleted=ledger.deleted,
        nulled=ledger.nulled,
        at=ledger.at,
        final=ledger.final,
        swept=ledger.swept,
    )


async def find_deletion(root_id: ObjectId | None) -> Deletion | None:
    """The ledger's entry about a root that was deleted, None where there is none."""
    row = None if root_id is None else await Deletion.raw().find_one({"_id": root_id})
    return None if row is None else Deletion.from_stored(row)
