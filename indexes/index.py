"""What an index is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Keys = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Index:
    """One index.

    Attributes:
        keys: in order, 1 ascending, -1 descending.
        serves: the query that it is for.
        options: as MongoDB has them.
        spare: whether no operation of Satchel's needs it: the requirements list it for those who
            query the database themselves.
    """

    keys: Keys
    serves: str
    options: Mapping[str, Any] = field(default_factory=dict)
    spare: bool = False

    @property
    def name(self) -> str:
        """The name that the driver gives by default: `userId_1_timestamp_-1`."""
        return "_".join(f"{name}_{direction}" for name, direction in self.keys.items())


SHARD_INDEX: Final = "shard_key"
"""The name of an index that is there for a shard key alone: `indexes apply` leaves it alone."""
UNIQUE: Final = {"unique": True}
SPARSE: Final = {"sparse": True}
