"""People days: each gets a stamp, by which readers know a document that they have read before
(models/day.py)."""

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from app.jobs import Claim
from models.base import Raw

_BATCH = 500


async def count(database: AsyncDatabase[Raw]) -> int:
    """How many documents have no stamp yet."""
    return await database.peopledays.count_documents({"stamp": {"$exists": False}})


async def apply(database: AsyncDatabase[Raw], claim: Claim) -> int:
    """Give each a stamp, unless a writer was faster."""
    changed = 0
    while (
        rows := await database.peopledays.find({"stamp": {"$exists": False}}, {"_id": 1})
        .limit(_BATCH)
        .to_list()
    ):
        where = {"_id": {"$in": [row["_id"] for row in rows]}, "stamp": {"$exists": False}}
        result = await database.peopledays.update_many(where, {"$set": {"stamp": ObjectId()}})
        changed += result.modified_count
        await claim.renew(changed=changed)
    return changed
