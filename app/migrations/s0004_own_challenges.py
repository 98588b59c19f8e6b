"""Challenges: each is its requester's, so the index that allowed one per recipient and purpose
goes."""

from pymongo.asynchronous.database import AsyncDatabase

from app.jobs import Claim
from models.base import Raw

_INDEX = "subject_1"


async def count(database: AsyncDatabase[Raw]) -> int:
    """One where the index is there."""
    return int(_INDEX in await database.phoneotps.index_information())


async def apply(database: AsyncDatabase[Raw], claim: Claim) -> int:
    """Drop it. Challenges that were made under it are good until they expire."""
    found = await count(database)
    if found:
        await database.phoneotps.drop_index(_INDEX)
    await claim.renew(changed=found)
    return found
