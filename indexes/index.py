"""What an index is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Keys = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Index:
    """One index: its keys in order (1 ascending, -1 descending), its options, and the query that it
    is for."""

    keys: Keys
    serves: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name that the driver gives by default: `userId_1_timestamp_-1`."""
        return "_".join(f"{name}_{direction}" for name, direction in self.keys.items())


SHARD_INDEX: Final = "shard_key"
"""The name of an index that is there for a shard key alone: `indexes apply` leaves it alone."""
UNIQUE: Final = {"unique": True}
SPARSE: Final = {"sparse": True}
