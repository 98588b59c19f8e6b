"""Ids of events, which ascend in the order in which the events of a request were sent."""

import os
from typing import Final

from bson import ObjectId

from models.clock import CLOCK

_COUNTS: Final = 2**24  # three bytes


class EventIds:
    """Makes the ids of a process as the driver does, for a whole request at once: seconds since
    1970, five random bytes of this process, a counter.

    Args:
        first: where the counter begins.
    """

    def __init__(self, first: int = 0) -> None:
        self._process = os.urandom(5)
        self._next = first

    def ascending(self, count: int) -> list[ObjectId]:
        """That many new ids, each after the one before; at most 2^24."""
        if self._next + count > _COUNTS:  # a counter that began anew would not ascend
            self._next = 0
        first, self._next = self._next, self._next + count
        begin = int(CLOCK.time()).to_bytes(4, "big") + self._process
        return [ObjectId(begin + each.to_bytes(3, "big")) for each in range(first, self._next)]
