"""The load generator, a process of its own: it keeps every connection busy, and checks and times
every answer.

It reads the plan from the first line of its input, then rounds, one a line, and answers each with a
line.
"""

import asyncio
import gc
import json
import re
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, cast

import uvloop

from scripts.bench.data import Plan
from scripts.bench.traffic import WORKLOADS, Player

_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_SLOWEST: Final = 30.0


class WrongAnswerError(Exception):
    """A server answered otherwise than it should have."""


def parse_answer(buffer: bytes) -> tuple[int, bytes] | None:
    """Status and body of the answer in a buffer; None while it is not there whole."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    found = _LENGTH.search(buffer, 0, end + 2)
    whole = end + 4 + (int(found[1]) if found else 0)
    return (int(buffer[9:12]), buffer[end + 4 : whole]) if len(buffer) >= whole else None


class Connection(asyncio.Protocol):
    """One keep-alive connection: the next request goes out when the last answer is in, until the
    time is over."""

    def __init__(self, player: Player, latencies: "array[float]") -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._player = player
        self._latencies = latencies
        self._buffer = b""
        self._sent_at = self._until = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for `start`."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by its class

    def start(self, until: float) -> None:
        """Send requests until that time of `time.perf_counter`."""
        self._until = until
        self._send()

    def data_received(self, data: bytes) -> None:
        """Take an answer, or a part of one."""
        self._buffer += data
        answer = parse_answer(self._buffer)
        if answer is None:
            return
        now = time.perf_counter()
        self._latencies.append(now - self._sent_at)
        self._buffer = b""
        if (wrong := self._player.check(*answer)) is not None:
            self._end(WrongAnswerError(wrong))
        elif now >= self._until:
            self._end(None)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server must not end it."""
        self._end(exc or WrongAnswerError("the server closed the connection"))

    def _send(self) -> None:
        request = self._player.request()
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)
        self._transport.close()


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave: requests answered, seconds it took, latency percentiles in
    milliseconds."""

    requests: int
    seconds: float
    p50: float
    p95: float
    p99: float


async def play(port: int, players: Sequence[Player], seconds: float) -> Round:
    """Keep a server on loopback busy for some seconds.

    Raises:
        WrongAnswerError: an answer was not as it should be, or did not come.
        OSError: the server does not listen.
    """
    loop = asyncio.get_running_loop()
    latencies = array("d")
    connections: list[Connection] = []
    for player in players:
        _, connection = await loop.create_connection(
            partial(Connection, player, latencies), "127.0.0.1", port
        )
        connections.append(connection)
    started = time.perf_counter()
    for connection in connections:
        connection.start(started + seconds)
    try:
        async with asyncio.timeout(seconds + _SLOWEST):
            await asyncio.gather(*(connection.ended for connection in connections))
    except TimeoutError:
        raise WrongAnswerError(f"an answer took longer than {_SLOWEST:.0f} s") from None
    took = time.perf_counter() - started
    return _summary(latencies, took)


def _summary(latencies: "array[float]", took: float) -> Round:
    ordered = sorted(latencies)
    p50, p95, p99 = (1000 * ordered[int(part * (len(ordered) - 1))] for part in (0.5, 0.95, 0.99))
    return Round(len(ordered), took, p50, p95, p99)


async def _serve() -> None:
    plan = Plan(**json.loads(sys.stdin.readline()))
    casts: dict[tuple[int, str], list[Player]] = {}  # each server has data of its own
    for line in iter(sys.stdin.readline, ""):
        asked: dict[str, Any] = json.loads(line)
        name = asked["workload"]
        which = (asked["port"], name)
        if which not in casts:
            players = WORKLOADS[name].players(plan)
            casts[which] = players[:1] if WORKLOADS[name].alone else players
        gc.collect()
        try:
            result = await play(asked["port"], casts[which], asked["seconds"])
            answer = asdict(result)
        except (WrongAnswerError, OSError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    gc.disable()
    uvloop.run(_serve())
