"""The places of those who are worked on, and the line before them: bounded in number, memory and
time.

First come, first served. Newest first was measured beside it with a line that cannot drain in time:
the same goodput, and two refusals for one.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Final

from starlette.requests import ClientDisconnect

from app.errors import Unavailable
from app.settings import Settings
from app.web.observability.measures import REFUSED, WAITING

_SHORTEST: Final = 0.8
"""Part of the longest wait that the shortest is: else those who came at one moment would be refused
in one, too."""
RETRY_AFTER: Final = (1, 2, 3)
"""Seconds: those who are refused at one moment are told to come back at different ones."""


def refusal(detail: str) -> Unavailable:
    """What someone is told for whom there is no place, and no room or no time left to wait for one;
    it is counted."""
    REFUSED.inc()
    return Unavailable(detail, retry_after=random.choice(RETRY_AFTER))


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much waits, and how long.

    Attributes:
        places: requests that are worked on at once.
        waiting: requests in the line.
        memory: bytes that these may keep.
        seconds: that one may wait; some are refused a little sooner.
    """

    places: int
    waiting: int
    memory: int
    seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "Bounds":
        """The bounds that the settings give."""
        memory = settings.max_waiting_mib * 1024 * 1024
        return cls(settings.max_in_flight, settings.max_waiting, memory, settings.wait_seconds)


class _Waiter:
    """One who waits, until it is woken: when its time is over, or when it has a place."""

    __slots__ = ("_cancelling", "_task", "has_place", "is_awake")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self.has_place = self.is_awake = False

    def wake(self) -> None:
        """End what it waits for."""
        if not self.is_awake and self._task is not None:
            self.is_awake = True
            self._task.cancel()

    def was_woken(self) -> bool:
        """Whether nothing but the waking has ended its wait; to be asked once, by itself when it
        was ended."""
        return (
            self.is_awake and self._task is not None and self._task.uncancel() <= self._cancelling
        )

    def forget(self) -> None:
        """Let its task go, which is woken no more; in the heap it stays until its time is over."""
        self._task = None

    @property
    def is_over(self) -> bool:
        """Whether it waits no more."""
        return self._task is None


_Queue = OrderedDict[_Waiter, None]


class Line:
    """Hands places out. While anybody waits no place is free: who leaves hands theirs to the first
    in line."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.free = bounds.places
        # not a deque, since whoever goes away leaves from the middle
        self._newcomers: _Queue = OrderedDict()
        self._returning: _Queue = OrderedDict()
        self._ends: list[tuple[float, int, _Waiter]] = []  # a heap of when their time is over
        self._numbers = count()
        self._alarm: asyncio.Handle | None = None
        self._rings_at = 0.0
        self._memory = 0
        WAITING.set(0)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._newcomers) + len(self._returning)

    def take(self) -> bool:
        """Take a place if one is free."""
        if not self.free:
            return False
        self.free -= 1
        return True

    async def enter(self, size: int, gone: Callable[[], Awaitable[object]]) -> None:
        """Take a place, in turn.

        Args:
            size: bytes that the request keeps while it waits.
            gone: returns when the client has gone away; cancelled otherwise.

        Raises:
            Unavailable: the line is full, or the wait was too long.
            ClientDisconnect: the client went away.
        """
        if self.take():
            return
        if (
            len(self._newcomers) >= self._bounds.waiting
            or self._memory + size > self._bounds.memory
        ):
            raise refusal("too many requests at once")
        await self._wait(self._newcomers, size, gone)

    async def enter_again(self) -> None:
        """Take a place before all who have had none yet: what was done for this request would be
        lost.

        Raises:
            Unavailable: the wait was too long.
        """
        if not self.take():
            await self._wait(self._returning, 0, _never)

    def leave(self) -> None:
        """Hand a place on, to the first in line."""
        queue = self._returning or self._newcomers
        if not queue:
            self.free += 1
            return
        waiter, _ = queue.popitem(last=False)
        waiter.has_place = True
        waiter.wake()

    async def _wait(self, queue: _Queue, size: int, gone: Callable[[], Awaitable[object]]) -> None:
        waiter = _Waiter()
        self._set_alarm(waiter)
        self._memory += size
        queue[waiter] = None
        WAITING.set(self.waiting)
        try:
            await gone()
            raise ClientDisconnect
        except BaseException as error:
            if not waiter.was_woken() or not isinstance(error, asyncio.CancelledError):
                if waiter.has_place:
                    self.leave()
                raise
            if not waiter.has_place:
                raise refusal("too many requests at once, for too long") from None
        finally:
            waiter.forget()
            queue.pop(waiter, None)
            self._memory -= size
            WAITING.set(self.waiting)

    def _set_alarm(self, waiter: _Waiter) -> None:
        """See that a waiter is woken when its time is over: one alarm, for whose is over first,
        serves all."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._bounds.seconds * random.uniform(_SHORTEST, 1)
        heappush(self._ends, (ends, next(self._numbers), waiter))
        if self._alarm is None or ends < self._rings_at:
            self._ring_at(ends)

    def _ring(self) -> None:
        """Wake those whose time is over, and set the alarm for the next of those who still wait."""
        moment = asyncio.get_running_loop().time()
        while self._ends and (self._ends[0][0] <= moment or self._ends[0][2].is_over):
            heappop(self._ends)[2].wake()
        self._alarm = None
        if self._ends:
            self._ring_at(self._ends[0][0])

    def _ring_at(self, moment: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = moment  # uvloop's handles do not always tell it
        self._alarm = asyncio.get_running_loop().call_at(moment, self._ring)


async def _never() -> None:
    await asyncio.get_running_loop().create_future()
