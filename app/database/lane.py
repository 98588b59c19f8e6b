"""The lane: requests that read or write one value wait here for a connection, not in the driver's
pool.

Ten times as many may be under way as the pool has connections. A wait in the pool costs a task, a
timer and several rounds of a lock, about a tenth of serving the request; here it costs one future,
and one timer serves all.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import pymongo

from app.errors import Unavailable

T = TypeVar("T")
_SHORTEST: Final = 0.001  # to PyMongo 0 is for ever


class Lane:
    """Lets as many go on at once as there are connections, first come first served.

    Args:
        places: how many.
        seconds: how long the wait and the database's work after it may take together.
    """

    def __init__(self, places: int, seconds: float) -> None:
        self.free = places
        self._seconds = seconds
        # by the end of their time
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do work that sends one command at a time, in turn; it takes no turn in the lane within.

        Raises:
            Unavailable: nobody was done in time.
        """
        if self.free:
            self.free -= 1
            try:
                return await work()
            finally:
                self._leave()
        ends = await self._wait()
        try:
            with pymongo.timeout(max(ends - asyncio.get_running_loop().time(), _SHORTEST)):
                return await work()
        finally:
            self._leave()

    async def _wait(self) -> float:
        """Take a place in turn; when the time ends, on the loop's clock."""
        loop = asyncio.get_running_loop()
        ends, place = loop.time() + self._seconds, loop.create_future()
        self._waiting.append((ends, place))
        if self._alarm is None:
            self._alarm = loop.call_at(ends, self._expire)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled() and place.exception() is None:  # it came with the going
                self._leave()
            raise
        return ends

    def _leave(self) -> None:
        """Hand the place on to the first who still waits."""
        while self._waiting:
            _, place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.free += 1

    def _expire(self) -> None:
        """Refuse those whose time is over, and look again when the next one's is."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0][0] <= loop.time():
            _, place = self._waiting.popleft()
            if not place.done():
                place.set_exception(Unavailable("the database did not answer in time"))
        self._alarm = loop.call_at(self._waiting[0][0], self._expire) if self._waiting else None
