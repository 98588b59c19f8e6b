"""One clock for every process: the database's.

What one process stores and another compares with its own time (leases, expiry, what a rollup has
reached) must not depend on two machines' clocks being alike. So a process measures the database's
clock and counts on from there by a clock of its own that nobody sets.
"""

import time
from typing import Final

# goes on while the machine sleeps, too
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_RESOLUTION: Final = 0.001  # of what the database tells


class Clock:
    """The time in seconds since 1970: the database's as soon as it was measured, the system's until
    then."""

    def __init__(self) -> None:
        self._zero: float | None = None

    @property
    def is_measured(self) -> bool:
        """Whether this is the database's time."""
        return self._zero is not None

    def time(self) -> float:
        """The current time, like `time.time()`."""
        return time.time() if self._zero is None else self._zero + time.clock_gettime(_STEADY)

    def ahead(self) -> float:
        """How many seconds the system's clock is ahead of this one; negative where it is behind."""
        return time.time() - self.time()

    def measured(self, theirs: float, before: float, after: float) -> None:
        """Note what the database said.

        It read its clock somewhere between the two moments, which is all that is known. Where that
        agrees with what was known before, nothing moves, so that an answer that took long makes
        nothing worse.

        Args:
            theirs: its time in seconds since 1970, cut to the millisecond.
            before: `steady()` before it was asked.
            after: `steady()` after it had answered.
        """
        earliest, latest = theirs - after, theirs + _RESOLUTION - before
        if self._zero is None or not earliest <= self._zero <= latest:
            self._zero = (earliest + latest) / 2

    def forget(self) -> None:
        """Go by the system's clock again."""
        self._zero = None


def steady() -> float:
    """Seconds since some moment, by a clock that nobody sets and that only this machine knows."""
    return time.clock_gettime(_STEADY)


CLOCK: Final = Clock()
"""The clock of this process."""
