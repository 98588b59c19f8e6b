"""The crowd of `bench-overload`, a process of its own: thousands of connections that ask again
without a pause.

It reads the plan from the first line of its input, then rounds, one a line, and answers each with a
line.
"""

import asyncio
import gc
import json
import random
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle
from typing import Any, Final, cast

import uvloop

from scripts.bench.data import Plan
from scripts.bench.load import parse_answer
from scripts.bench.traffic import all_reads, all_writes
from scripts.serve import raise_file_limit

_AT_A_TIME: Final = 100
_SAMPLE: Final = 64
_AGAIN_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Told:
    """What a crowd was told in one round.

    Attributes:
        good: answers 2xx a second.
        p50, p99: milliseconds from a request to its answer 2xx, None where there was none.
        statuses: how often each status came.
        broken: connections that could not be made, or that the server closed.
        busy: part of a processor that the crowd itself used: near 1 it was what was measured.
    """

    good: float
    p50: float | None
    p99: float | None
    statuses: dict[str, int]
    broken: int
    busy: float


@dataclass(slots=True)
class Tally:
    """What is counted on the way: seconds until each good answer, statuses, broken connections."""

    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0

    def note(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        if 200 <= status < 300:
            self.latencies.append(seconds)

    def told(self, took: float, busy: float) -> Told:
        """The round's figures."""
        ordered = sorted(self.latencies)
        statuses = {str(status): count for status, count in sorted(self.statuses.items())}
        p50, p99 = (
            round(1000 * ordered[int(part * (len(ordered) - 1))]) if ordered else None
            for part in (0.5, 0.99)
        )
        return Told(len(ordered) / took, p50, p99, statuses, self.broken, round(busy, 2))


class Member(asyncio.Protocol):
    """One of the crowd: the next request goes out when the last answer is in, on a new connection
    if it was closed."""

    def __init__(self, crowd: "Crowd", requests: Iterator[bytes]) -> None:
        self._crowd, self._requests = crowd, requests
        self._buffer = b""
        self._sent_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask, if it has begun."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is none by its class
        if self._crowd.begun:
            self.ask()

    def ask(self) -> None:
        """Send the next request."""
        if self.transport is not None:
            self._sent_at = time.perf_counter()
            self.transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        """Take an answer, or a part of one."""
        self._buffer += data
        answer = parse_answer(self._buffer)
        if answer is None:
            return
        self._buffer = b""
        if self._crowd.begun:
            self._crowd.tally.note(answer[0], time.perf_counter() - self._sent_at)
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Connect again."""
        self.transport, self._buffer = None, b""
        if self._crowd.begun:
            self._crowd.tally.broken += 1
            self._crowd.connect(self)


class Crowd:
    """The connections of one round.

    Args:
        port: of the server, on loopback.
        size: how many connections.
        requests: what they send; with `own` each sends one of them again and again, else each draws
            from all.
    """

    def __init__(self, port: int, size: int, requests: Sequence[bytes], *, own: bool) -> None:
        self.begun = False
        self.tally = Tally()
        self._port = port
        self._connecting: set[asyncio.Task[None]] = set()
        chance = random.Random(size)
        self._members = [
            Member(
                self,
                cycle(
                    [requests[number % len(requests)]]
                    if own
                    else chance.choices(requests, k=_SAMPLE)
                ),
            )
            for number in range(size)
        ]

    def connect(self, member: Member) -> None:
        """Give a member a connection."""
        task = asyncio.get_running_loop().create_task(self._connect(member))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, member: Member) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: member, "127.0.0.1", self._port
            )
        except OSError:
            self.tally.broken += 1
            await asyncio.sleep(_AGAIN_SECONDS)
            if self.begun:
                self.connect(member)

    async def play(self, seconds: float) -> Told:
        """Everybody connects, then everybody asks until the time is over, then everybody goes
        without a word."""
        await self._gather()
        used, started, self.begun = time.process_time(), time.perf_counter(), True
        for member in self._members:
            member.ask()
        await asyncio.sleep(seconds)
        self.begun, took = False, time.perf_counter() - started
        busy = (time.process_time() - used) / took
        for task in self._connecting:
            task.cancel()
        for member in self._members:
            if member.transport is not None:
                member.transport.abort()
        return self.tally.told(took, busy)

    async def _gather(self) -> None:
        for start in range(0, len(self._members), _AT_A_TIME):
            for member in self._members[start : start + _AT_A_TIME]:
                self.connect(member)
            while self._connecting:
                await asyncio.wait(self._connecting)


async def _serve() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    requests = {"read": all_reads(plan), "write": all_writes(plan)}
    for line in iter(sys.stdin.readline, ""):
        asked: dict[str, Any] = json.loads(line)
        crowd = Crowd(
            asked["port"], asked["size"], requests[asked["kind"]], own=asked["kind"] == "write"
        )
        gc.collect()
        print(json.dumps(asdict(await crowd.play(asked["seconds"]))), flush=True)


if __name__ == "__main__":
    gc.disable()
    raise_file_limit()
    uvloop.run(_serve())
