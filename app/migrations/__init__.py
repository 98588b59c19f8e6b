"""The steps that turn the data of an earlier version into this one's: forward only, each
idempotent, in this order.

A step is a module with a docstring, `count(database)`, how many documents it would change, and
`apply(database, claim)`, which changes them in batches, renews the claim between two, and gives
their number. A new step is one more name below.
"""

from types import ModuleType
from typing import Final

from app.migrations import (
    s0001_ledger_stages,
    s0002_policies_hold,
    s0003_people_stamps,
    s0004_own_challenges,
    s0005_frequent_values,
)
from models.migration import Migration

STEPS: Final[tuple[ModuleType, ...]] = (
    s0001_ledger_stages,
    s0002_policies_hold,
    s0003_people_stamps,
    s0004_own_challenges,
    s0005_frequent_values,
)


def name_of(step: ModuleType) -> str:
    """A step's name: that of its module."""
    return step.__name__.rpartition(".")[2]


async def pending() -> list[str]:
    """The names of the steps that this database has not taken yet, in their order."""
    applied = await Migration.find_applied()
    return [name for name in map(name_of, STEPS) if name not in applied]
