"""Policies on live data (required: Migration Strategy): from here on every reference obeys its line
of the table.

As adding a foreign key to a table with rows does, it looks at what is there first, and refuses
while there are faults.
"""

from pymongo.asynchronous.database import AsyncDatabase

from app.jobs import Claim
from app.migrations.step import StepRefused
from app.relations import audit
from models.base import Raw
from models.relations import RELATIONS


async def count(database: AsyncDatabase[Raw]) -> int:
    """How many references do not obey."""
    return sum(
        [len(faults) for relation in RELATIONS async for faults in audit.faults_of(relation)]
    )


async def apply(database: AsyncDatabase[Raw], claim: Claim) -> int:
    """Change nothing.

    Raises:
        StepRefused: there are faults; `integrity repair` mends them.
    """
    scans = await audit.check(restart=True)
    await claim.renew()
    faults = sum(scan.orphans + scan.mismatches for scan in scans)
    if faults:
        raise StepRefused(
            f"{faults:,} references do not obey their policy: `python -m scripts integrity repair`"
            " first"
        )
    return 0
