"""Deletions that others race, and what is left of them."""

from pathlib import Path

from bson import ObjectId

from models import Activity, Deletion
from models.relations import RELATIONS

ROOT = Path(__file__).parents[2]

EVENT = {"appId": "notes", "eventName": "e", "eventCategory": "custom"}


async def orphans_of(user_id: ObjectId) -> dict[str, int]:
    counts = {
        r.child.collection_name(): await r.child.raw().count_documents({r.stored: user_id})
        for r in RELATIONS
    }
    return {name: count for name, count in counts.items() if count}


async def ledger_of(user_id: ObjectId) -> Deletion:
    return Deletion.from_stored(await Deletion.raw().find_one({"_id": user_id}) or {})


async def add_activities(user_id: ObjectId, count: int) -> None:
    rows = [
        Activity(user_id=user_id, app_id="notes", event_type="bulk").stored() for _ in range(count)
    ]
    await Activity.raw().insert_many(rows)
