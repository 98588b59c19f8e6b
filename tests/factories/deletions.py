"""Deletions that others race, and what is left of them."""

from pathlib import Path

from bson import ObjectId

from app.jobs import run_one
from app.relations.delete import sweep_again
from app.settings import Settings
from app.work import HOOKS, handlers
from models import Activity, Deletion, Job
from models.base import now
from models.relations import RELATIONS

ROOT = Path(__file__).parents[2]

EVENT = {"appId": "notes", "eventName": "e", "eventCategory": "custom"}


async def orphans_of(*user_ids: ObjectId) -> dict[str, int]:
    whose = {"$in": [*user_ids]}
    counts = {
        each.child.collection_name(): await each.child.raw().count_documents({each.stored: whose})
        for each in RELATIONS
    }
    return {name: count for name, count in counts.items() if count}


async def ledger_of(user_id: ObjectId) -> Deletion:
    return Deletion.from_stored(await Deletion.raw().find_one({"_id": user_id}) or {})


async def add_activities(user_id: ObjectId, count: int) -> None:
    rows = [
        Activity(user_id=user_id, app_id="notes", event_type="bulk").stored() for _ in range(count)
    ]
    await Activity.raw().insert_many(rows)


async def finish(settings: Settings, user_id: ObjectId) -> None:
    """A worker comes by, at once rather than after half a minute: where the caller was answered 202
    it has the rest to do."""
    await Job.raw().update_one({"_id": user_id, "state": "due"}, {"$set": {"runAt": now()}})
    while await run_one(handlers(settings)):
        pass


async def settle(settings: Settings, *user_ids: ObjectId) -> None:
    """Until the later sweeps find nothing."""
    while open_ones := [
        ledger for user_id in user_ids if not (ledger := await ledger_of(user_id)).final
    ]:
        await sweep_again(open_ones, settings, HOOKS)
