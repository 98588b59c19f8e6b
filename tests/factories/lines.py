"""Guests in a line."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.web.admission.line import Bounds, Line


async def settle() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


ROOMY = Bounds(places=2, waiting=100, memory=1000, seconds=3600)


def bounds(**changes: float) -> Bounds:
    return Bounds(**{**{name: getattr(ROOMY, name) for name in Bounds.__slots__}, **changes})  # type: ignore[arg-type]


@dataclass
class Guest:
    """One request, and how it goes: `outcome` is what ended its wait."""

    line: Line
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: object = None
    task: "asyncio.Task[None] | None" = None

    def come(self, size: int = 1) -> "Guest":
        return self._start(lambda: self.line.enter(size, self.gone.wait))

    def come_again(self) -> "Guest":
        return self._start(self.line.enter_again)

    def _start(self, enter: Callable[[], Awaitable[None]]) -> "Guest":
        self.outcome = None
        self.task = asyncio.create_task(self._enter(enter))
        self.task.add_done_callback(self._note)
        return self

    async def _enter(self, enter: Callable[[], Awaitable[None]]) -> None:
        await enter()
        self.outcome = "in"

    def _note(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self.outcome = asyncio.CancelledError()
        elif task.exception() is not None:
            self.outcome = task.exception()

    @property
    def is_in(self) -> bool:
        return self.outcome == "in"


async def guests(line: Line, count: int) -> list[Guest]:
    """So many, who have come one after the other."""
    found = []
    for _ in range(count):
        found.append(Guest(line).come())
        await settle()
    return found
