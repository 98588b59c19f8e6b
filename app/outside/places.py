"""Places: how much work that speaks to the outside is under way at once, so that who hangs holds up
nobody else.

Work that takes longer than a second gives its place to the next and waits on in one of four times
as many, while these last. Whoever failed lately has few of either kind.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cachetools import FIFOCache

from app.jobs.backoff import Backoff

T = TypeVar("T")

QUICK_SECONDS: Final = 1.0
"""How long work counts as quick."""
_WAITING: Final = 4  # places for slow work to one for quick
_LONGEST_PAUSE: Final = 60.0
_REMEMBERED: Final = 2_000
_LOOK_SECONDS: Final = 1.0


@dataclass(slots=True, eq=False)
class Place:
    """One piece of work that is under way."""

    tenant: Hashable
    has_failed: bool
    since: float = field(default_factory=lambda: time.monotonic())  # noqa: PLW0108  # as it is then, for tests

    @property
    def is_quick(self) -> bool:
        """Whether it has taken no longer than a second so far."""
        return time.monotonic() - self.since < QUICK_SECONDS

    def goes_on(self) -> None:
        """One step of it is over, and the next begins: what takes many is not slow for that."""
        self.since = time.monotonic()


class Places:
    """The places of one kind of work."""

    def __init__(self, most: int) -> None:
        self._most, self._waiting = most, most * _WAITING
        self._taken: set[Place] = set()

    def is_free(self) -> bool:
        """Whether there is a place for quick work."""
        quick = sum(place.is_quick for place in self._taken)
        return quick + max(0, len(self._taken) - quick - self._waiting) < self._most

    def is_free_for_failed(self) -> bool:
        """Whether one of those who failed lately may have it: they share a quarter of the
        places."""
        failed = [place for place in self._taken if place.has_failed]
        return (
            sum(place.is_quick for place in failed) < max(1, self._most // 4)
            and len(failed) < self._waiting // 2
        )

    def take(self, tenant: Hashable = None, *, has_failed: bool = False) -> Place:
        """Take a place for somebody."""
        place = Place(tenant, has_failed)
        self._taken.add(place)
        return place

    def leave(self, place: Place) -> None:
        """Give a place back."""
        self._taken.discard(place)

    def by_tenant(self) -> Counter[Hashable]:
        """How many places each has."""
        return Counter(place.tenant for place in self._taken)


class Turns(Places):
    """Places by turns: each tenant has a few until it was seen to do well, then half of them.

    One that failed has one place at a time. It pauses for as long as its failure took, twice as
    long with each further one and a minute at most, so that whoever hangs takes up little, however
    much is to be done for them.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._well: FIFOCache[Hashable, None] = FIFOCache(_REMEMBERED)
        self._failed: FIFOCache[Hashable, tuple[int, float]] = FIFOCache(_REMEMBERED)

    def begin(self, tenant: Hashable) -> Place:
        """Take a place for a tenant."""
        return self.take(tenant, has_failed=tenant in self._failed)

    def went_well(self, tenant: Hashable) -> None:
        """Note that something went well."""
        self._failed.pop(tenant, None)
        self._well[tenant] = None

    def failed(self, tenant: Hashable, seconds: float) -> None:
        """Note that something failed, after so many seconds."""
        self._well.pop(tenant, None)
        times = self._failed.get(tenant, (0, 0.0))[0] + 1
        slow = seconds >= QUICK_SECONDS
        pause = Backoff(seconds, _LONGEST_PAUSE).step(times) if slow else 0.0
        self._failed[tenant] = (times, time.monotonic() + pause)

    def busy(self) -> set[Hashable]:
        """The tenants that may not begin anything now."""
        moment, free = time.monotonic(), self.is_free_for_failed()
        waiting = {
            tenant for tenant, (_, until) in self._failed.items() if until > moment or not free
        }
        return waiting | {
            tenant for tenant, count in self.by_tenant().items() if count >= self._most_of(tenant)
        }

    def pause_seconds(self) -> float | None:
        """Until the first of those who pause may go on; None where nobody pauses."""
        moment = time.monotonic()
        return min(
            (until - moment for _, until in self._failed.values() if until > moment), default=None
        )

    def _most_of(self, tenant: Hashable) -> int:
        if tenant in self._failed:
            return 1
        return max(1, self._most // 2 if tenant in self._well else self._most // 8)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What is not to be taken now: what `failed` lately, what belongs to one of these tenants."""

    failed: bool
    tenants: frozenset[Hashable]


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken: the work to be done, whose it is, and whether it failed lately."""

    work: Awaitable[None]
    tenant: Hashable
    has_failed: bool


async def work_off(
    most: int,
    take: Callable[[LeftOut], Awaitable[Taken | None]],
    note: Callable[[int], Awaitable[None]],
) -> int:
    """Do all that is due, several at once, until nothing is.

    Args:
        most: places for quick work.
        take: takes what is longest due, but what is left out; None where nothing is.
        note: told how much is done, at least once a second or so while something is under way.

    Returns:
        How much was done. What one of them or `note` raises ends the others.
    """
    places, done = Places(most), 0
    running: dict[asyncio.Future[None], Place] = {}
    try:
        while True:
            taken = await take(_left_out(places, most)) if places.is_free() else None
            if taken is not None:
                place = places.take(taken.tenant, has_failed=taken.has_failed)
                running[asyncio.ensure_future(taken.work)] = place
            elif not running:
                return done
            else:
                over, _ = await asyncio.wait(
                    running, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                done += len(over)
                for task in over:
                    places.leave(running.pop(task))
                    task.result()
                await note(done)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _left_out(places: Places, most: int) -> LeftOut:
    """One tenant has at most as many places as there are for quick work, a hanging one's slow work
    among them."""
    busy = frozenset(
        tenant
        for tenant, count in places.by_tenant().items()
        if tenant is not None and count >= most
    )
    return LeftOut(not places.is_free_for_failed(), busy)
