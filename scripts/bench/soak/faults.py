"""What goes wrong in a soak, and when: drawn from the seed, or one of each."""

import heapq
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from scripts.bench.soak.plant import ODD, Planted
from scripts.bench.soak.program import FAKETIME, Fleet, Program

_EVERY_SECONDS: Final = 7.0
_PAST_A_LEASE: Final = (31.0, 45.0)
_SERVER_FROZEN: Final = (6.0, 20.0)
_DOWN: Final = (0.5, 4.0)
_JUMPS: Final = (3600, -3600, 1800, -1800, 300, -300, 30, -30, 0)
_WEIGHTS: Final = {
    "freeze worker": 5,
    "kill worker": 4,
    "jump": 4,
    "plant": 4,
    "odd event": 2,
    "kill server": 2,
    "restart database": 1,
    "kill database": 1,
    "freeze server": 2,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that went wrong, from when to when on the monotonic clock."""

    name: str
    start: float
    end: float


class Faults:
    """Has things go wrong, from the main thread, and remembers what."""

    def __init__(
        self, fleet: Fleet, planted: Planted, seed: int, send_odd_event: Callable[[], Any]
    ) -> None:
        self.done: list[Fault] = []
        self._fleet = fleet
        self._planted = planted
        self._random = random.Random(f"faults {seed}")
        self._send_odd_event = send_odd_event
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._odd = 0
        self._begun = time.monotonic()

    def timeline(self) -> list[str]:
        """What went wrong, in lines: after how many seconds, what, for how long."""
        ordered = sorted(self.done, key=lambda fault: fault.start)
        return [
            f"{each.start - self._begun:6.1f} {each.name} ({each.end - each.start:.1f} s)"
            for each in ordered
        ]

    def run(self, seconds: float, each_second: Callable[[], None], *, one_of_each: bool) -> None:
        """Let it go wrong for so long, and then be well again.

        Args:
            seconds: how long.
            each_second: called about once a second.
            one_of_each: each fault once, in a fixed order, instead of drawn ones.
        """
        started = self._begun = time.monotonic()
        plan = self._one_of_each(seconds) if one_of_each else self._drawn(seconds)
        while (now := time.monotonic()) < started + seconds:
            while plan and started + plan[0][0] <= now:
                self._begin(plan.pop(0)[1])
            self._follow_up(now)
            each_second()
            time.sleep(max(0.0, now + 1 - time.monotonic()) if not plan else 0.25)
        self.heal()

    def heal(self) -> None:
        """End every fault that is under way."""
        self._follow_up(float("inf"))
        for program in self._fleet.programs:
            program.tell_time(0)

    def _drawn(self, seconds: float) -> list[tuple[float, str]]:
        plan, at = list[tuple[float, str]](), _EVERY_SECONDS / 2
        names, weights = list(_WEIGHTS), list(_WEIGHTS.values())
        while at < seconds:
            plan.append((at, self._random.choices(names, weights)[0]))
            at += self._random.expovariate(1 / _EVERY_SECONDS)
        return plan

    def _one_of_each(self, seconds: float) -> list[tuple[float, str]]:
        names = [name for name in _WEIGHTS if name != "plant"]
        plan = [
            (1 + number * (seconds - 8) / len(names), name) for number, name in enumerate(names)
        ]
        return sorted(plan + [(2 + number / 4, "plant") for number in range(len(ODD))])

    def _begin(self, name: str) -> None:
        acts: dict[str, Callable[[], None]] = {
            "freeze worker": self._freeze_worker,
            "kill worker": self._kill_worker,
            "jump": self._jump,
            "plant": self._plant,
            "odd event": self._odd_event,
            "freeze server": lambda: self._freeze(
                self._fleet.server, self._random.uniform(*_SERVER_FROZEN)
            ),
            "kill server": lambda: self._kill(self._fleet.server),
            "restart database": lambda: self._restart_database(kill=False),
            "kill database": lambda: self._restart_database(kill=True),
        }
        acts[name]()

    def _follow_up(self, now: float) -> None:
        """End what is to be ended by now, and start again what ended by itself."""
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()
        for program in self._fleet.programs:
            program.revive()

    def _note(self, name: str, seconds: float = 0.0) -> None:
        start = time.monotonic()
        self.done.append(Fault(name, start, start + seconds))

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, len(self.done), act))

    def _freeze_worker(self) -> None:
        if running := [worker for worker in self._fleet.workers if worker.running]:
            self._freeze(self._random.choice(running), self._random.uniform(*_PAST_A_LEASE))

    def _freeze(self, program: Program, seconds: float) -> None:
        if program.running:
            self._note(f"freeze {program.name}", seconds)
            program.freeze()
            self._after(seconds, program.thaw)

    def _kill_worker(self) -> None:
        """The third is never killed, so that its memory can be watched."""
        if running := [worker for worker in self._fleet.workers[:-1] if worker.running]:
            self._kill(self._random.choice(running))

    def _kill(self, program: Program) -> None:
        if program.running:
            seconds = self._random.uniform(*_DOWN)
            self._note(f"kill {program.name}", seconds)
            program.kill()
            self._after(seconds, program.start)

    def _jump(self) -> None:
        if FAKETIME is not None:
            offset = self._random.choice(_JUMPS)
            self._note(f"clock of {self._fleet.workers[1].name} {offset:+d} s")
            self._fleet.workers[1].tell_time(offset)

    def _plant(self) -> None:
        names = list(ODD)
        name = names[self._odd % len(names)]
        try:
            with MongoClient[dict[str, Any]](self._fleet.mongod.uri, timeoutMS=5000) as client:
                self._planted.plant(client[self._fleet.environment["SATCHEL_DATABASE"]], name)
        except PyMongoError:  # the database is down
            return
        self._odd += 1
        self._note(f"odd row in {name}")

    def _odd_event(self) -> None:
        self._note("odd event")
        self._send_odd_event()

    def _restart_database(self, *, kill: bool) -> None:
        started = time.monotonic()
        self._fleet.stop_database(kill=kill)
        time.sleep(self._random.uniform(*_DOWN))
        self._fleet.start_database()
        self.done.append(
            Fault("kill database" if kill else "restart database", started, time.monotonic())
        )
