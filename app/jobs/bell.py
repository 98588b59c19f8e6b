"""The bell: wakes a loop of a worker when there is something to do by now, or from some moment
on."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime


class Bell:
    """Rung by name for a moment; several rings of one name are one, for the earliest moment.

    Args:
        names: for which it is rung; by others it is not.

    `is_served` says whether somebody rings it for all that others do. Where nobody does, the loop
    looks by itself.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self.is_served = False
        self._names = frozenset(names)
        self._moments: dict[str, datetime] = {}
        self._rung = asyncio.Event()

    def ring(self, name: str, at: datetime) -> None:
        """There is something to do from then on."""
        if name in self._names:
            self._moments[name] = min(at, self._moments.get(name, at))
            self._rung.set()

    def wake(self) -> None:
        """Have whoever waits look around."""
        self._rung.set()

    def take(self, names: Collection[str], moment: datetime) -> list[str]:
        """Those of these names whose moment has come; they are rung no more."""
        found = [name for name in names if name in self._moments and self._moments[name] <= moment]
        for name in found:
            del self._moments[name]
        return found

    def next_of(self, names: Collection[str]) -> datetime | None:
        """The earliest moment for which one of these names is rung."""
        return min((self._moments[name] for name in names if name in self._moments), default=None)

    async def wait(self, seconds: float) -> None:
        """Wait until it is rung, or somebody wakes us, but no longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._rung.wait()
        self._rung.clear()
