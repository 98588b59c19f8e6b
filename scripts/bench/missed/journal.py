"""What writers were told: every version that was acknowledged, and what made it."""

from collections import Counter
from dataclasses import dataclass, field

Key = tuple[str, str]
"""A user, and a key of theirs."""


@dataclass(slots=True)
class Journal:
    """What was acknowledged.

    Attributes:
        made: what made each version of each key.
        newest: the latest version that was acknowledged as a value.
        twice: versions that two writes were told that they had made.
        faults: answers that nobody should get.
        counts: of what was done.
    """

    made: dict[Key, dict[int, str]] = field(default_factory=dict)
    newest: dict[Key, int] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def versions(self) -> int:
        """How many were acknowledged."""
        return sum(map(len, self.made.values()))

    def note(self, key: Key, version: int, mark: str, *, is_value: bool = True) -> None:
        """A write was told that it has made a version."""
        made = self.made.setdefault(key, {})
        if made.setdefault(version, mark) != mark:
            self.twice.append(f"version {version} of {key[1]}: {made[version]} and {mark}")
        if is_value:
            self.newest[key] = max(version, self.newest.get(key, 0))
