"""The dispatcher: one loop of a worker that begins every job as it falls due, and asks the database
for little else.

Each kind of job has places of its own, so that one which takes long, or waits for an outside
system, holds up none of another kind.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from app.jobs import Claim, Handler, claim, claim_now, perform
from app.jobs.bell import Bell
from app.jobs.upcoming import upcoming
from app.web.observability import log
from models.base import now

JOBS: Final = "jobs"
"""The name for which the bell is rung where a job was added or is due at another time."""
_ASK_AGAIN: Final = timedelta(seconds=60)
_GROWTH: Final = 1.5
_LONGEST: Final = 5.0


class Dispatcher:
    """Begins jobs.

    Args:
        handlers: what is to be done for each kind.
        woken: names of the periodic jobs that others' writes give something to do; the bell is rung
            by these.
        places: how many of a kind are done at once; one where it is not named.
        bell: wakes it.
        poll_seconds: how soon it looks by itself at first, where nobody serves the bell; then less
            and less often.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        bell: Bell,
        poll_seconds: float,
        *,
        woken: Collection[str] = (),
        places: Mapping[str, int] | None = None,
    ) -> None:
        self._handlers, self._bell, self._woken, self._places = handlers, bell, woken, places or {}
        self._running: dict[asyncio.Task[None], str] = {}
        self._plan: list[tuple[datetime, str]] | None = None
        self._more: frozenset[str] = frozenset()
        self._asked = now()
        self._first_pause = self._pause = poll_seconds
        self._look_at: float | None = None

    async def work(self, stop: asyncio.Event) -> None:
        """Do jobs as they fall due until `stop` is set; those in hand are finished."""
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._bell.wake())
        while not stop.is_set():
            try:
                if not await self._begin():
                    await self._rest()
            except Exception as error:
                log.error("no job could be claimed", error=type(error).__name__)
                self._plan = None
                await self._bell.wait(self._longer())
        await asyncio.gather(*self._running, return_exceptions=True)
        stopping.cancel()

    async def _begin(self) -> bool:
        """Begin one job, if there is one to begin."""
        free, moment = self._free(), now()
        for name in free & set(self._woken):
            if self._bell.take([name], moment):
                await self._begin_now(name, moment)
        await self._look_ahead(moment)
        if (due := self._next(free & self._free())) is None or due[0] > moment:
            return False
        held = await claim(free & self._free())
        if held is None:
            self._plan = None  # others were faster
            return False
        self._start(held)
        return True

    async def _begin_now(self, name: str, moment: datetime) -> None:
        try:
            self._start(await claim_now(name))
        except Exception:
            self._bell.ring(name, moment)  # it is still to be done
            raise

    async def _look_ahead(self, moment: datetime) -> None:
        """Ask what is due when, unless it is known; again where those of a kind are done of which
        there are more."""
        known = {kind for _, kind in self._plan or ()}
        is_known = self._plan is not None and not (self._more & self._free()) - known
        if self._bell.take([JOBS], moment) or not is_known or moment > self._asked + _ASK_AGAIN:
            (self._plan, self._more), self._asked = await upcoming(self._handlers), moment

    def _start(self, held: Claim | None) -> None:
        if held is None:
            return
        kind = held.job.kind
        task = asyncio.create_task(perform(held, self._handlers[kind]))
        self._running[task] = kind
        task.add_done_callback(lambda task: self._over(task, held))
        if (
            self._plan
            and (planned := next((each for each in self._plan if each[1] == kind), None))
            is not None
        ):
            self._plan.remove(planned)

    def _over(self, task: asyncio.Task[None], held: Claim) -> None:
        del self._running[task]
        if self._plan is not None and held.due_again is not None:
            self._plan = sorted([*self._plan, (held.due_again, held.job.kind)])
        if not task.cancelled() and task.exception() is not None:
            log.error("a job could not be ended", kind=held.job.kind, exc_info=task.exception())
            self._plan = None
        self._bell.wake()

    def _free(self) -> set[str]:
        """The kinds of which one more can be begun."""
        running = Counter(self._running.values())
        return {kind for kind in self._handlers if running[kind] < self._places.get(kind, 1)}

    def _next(self, kinds: Collection[str]) -> tuple[datetime, str] | None:
        return next((each for each in self._plan or () if each[1] in kinds), None)

    async def _rest(self) -> None:
        """Wait for the next job that is known, for the bell, or for a job in hand to end."""
        if self._plan is None:  # somebody else has what was due; they will need a moment
            await self._bell.wait(self._first_pause)
            return
        free = self._free()
        moments = [
            self._asked + _ASK_AGAIN,
            self._bell.next_of(free & set(self._woken)),
            self._bell.next_of([JOBS]),
        ]
        if (due := self._next(free)) is not None:
            moments.append(due[0])
        seconds = (min(moment for moment in moments if moment is not None) - now()).total_seconds()
        if self._bell.is_served:
            self._pause, self._look_at = self._first_pause, None
            await self._bell.wait(seconds)
        else:
            await self._look_by_ourselves(seconds)

    async def _look_by_ourselves(self, seconds: float) -> None:
        """Wait, and now and then, less often the longer nobody serves the bell, look at all that
        could be to do."""
        clock = asyncio.get_running_loop().time
        if self._look_at is None:
            self._look_at = clock() + self._longer()
        await self._bell.wait(min(seconds, self._look_at - clock()))
        if clock() >= self._look_at:
            self._look_at = None
            for name in (*self._woken, JOBS):
                self._bell.ring(name, now())

    def _longer(self) -> float:
        pause = self._pause
        self._pause = min(pause * _GROWTH, max(_LONGEST, self._first_pause))
        return pause
