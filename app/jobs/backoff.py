"""How long to wait after failures: one answer for jobs, deliveries, syncs, checks and streams."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

_MOST_DOUBLINGS: Final = 20
_TOLD_SPREAD: Final = 1.1


@dataclass(frozen=True, slots=True)
class Backoff:
    """Twice as long after each failure in a row, up to an end.

    Attributes:
        first: seconds after the first failure.
        longest: seconds, however many there were.
    """

    first: float
    longest: float

    def step(self, failures: int) -> float:
        """Seconds after so many failures in a row, this one among them, without jitter."""
        return min(self.first * 2.0 ** min(max(failures - 1, 0), _MOST_DOUBLINGS), self.longest)

    def after(self, failures: int, told: float | None = None) -> timedelta:
        """The wait after so many failures in a row: between half the step and the whole, so that
        those who failed together do not come back together.

        Args:
            failures: in a row, this one among them.
            told: seconds that the other side asked for, which are waited at least.
        """
        own = self.step(failures) * random.uniform(0.5, 1.0)
        asked = (told or 0.0) * random.uniform(1.0, _TOLD_SPREAD)
        return timedelta(seconds=max(own, asked))


OUTSIDE: Final = Backoff(30.0, 6 * 3600.0)
"""Of an outside system that cannot answer now."""
