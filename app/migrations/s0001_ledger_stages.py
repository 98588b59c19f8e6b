"""Deletions: `swept` (true or false) becomes `stage`, since what only refers to a root is released
after what goes."""

from pymongo.asynchronous.database import AsyncDatabase

from app.jobs import Claim
from models.base import Raw

_BATCH = 1000


async def count(database: AsyncDatabase[Raw]) -> int:
    """How many entries of the ledger have no stage yet."""
    return await database.deletions.count_documents({"stage": {"$exists": False}})


async def apply(database: AsyncDatabase[Raw], claim: Claim) -> int:
    """Give every entry its stage, by a pipeline that changes nothing the second time."""
    changed = 0
    while (
        rows := await database.deletions.find({"stage": {"$exists": False}}, {"_id": 1})
        .limit(_BATCH)
        .to_list()
    ):
        where = {"_id": {"$in": [row["_id"] for row in rows]}, "stage": {"$exists": False}}
        stage = {"$cond": ["$swept", "done", "cascade"]}
        result = await database.deletions.update_many(
            where, [{"$set": {"stage": stage}}, {"$unset": "swept"}]
        )
        changed += result.modified_count
        await claim.renew(changed=changed)
    return changed
