"""Batches of 50 puts against 50 single puts: how many values a second are stored either way, and at
what CPU."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from scripts.bench.load import WrongAnswerError, play
from scripts.bench.processes import BenchError, Server, cpu_seconds
from scripts.bench.traffic import Player, value

SIZE: Final = 50
CONNECTIONS: Final = 8
GOAL: Final = 5.0
"""How many times as many values a second as by single puts."""
_APP: Final = "bench-batches"
_STORED: Final = b'"status":"stored"'


class Putter:
    """Stores the values of one person, one by one, again and again."""

    writes = 1

    def __init__(self, user: tuple[str, str]) -> None:
        self._requests = [
            _request("PUT", user, f"data/key{number:02}", json.dumps(value(number)))
            for number in range(SIZE)
        ]
        self._turn = 0

    def request(self) -> bytes:
        """The next request."""
        self._turn = (self._turn + 1) % SIZE
        return self._requests[self._turn]

    def check(self, status: int, body: bytes) -> str | None:
        """It has to be stored."""
        return None if status in (200, 201) else f"{status} {body[:200]!r}"


class Batcher:
    """Stores the values of one person by one request, again and again."""

    writes = SIZE

    def __init__(self, user: tuple[str, str]) -> None:
        writes = [{"dataKey": f"key{number:02}", "value": value(number)} for number in range(SIZE)]
        self._request = _request("POST", user, "batch", json.dumps({"writes": writes}))

    def request(self) -> bytes:
        """The next request."""
        return self._request

    def check(self, status: int, body: bytes) -> str | None:
        """Each write has to be stored."""
        right = status == 200 and body.count(_STORED) == SIZE
        return None if right else f"{status} {body[:200]!r}"


@dataclass(frozen=True, slots=True)
class Measured:
    """One round: values stored a second, and CPU microseconds of server and MongoDB for each."""

    rate: float
    server: float
    mongod: float


def measure(
    server: Server, mongod: int, users: list[tuple[str, str]], rounds: int, seconds: float = 1.0
) -> dict[str, Any]:
    """Both in turn, the other first every second time, so that what drifts favours neither.

    Args:
        server: a Satchel.
        mongod: process id of its MongoDB.
        users: ids and access tokens, at least as many as there are connections.
        rounds: of each.
        seconds: of a round.

    Raises:
        BenchError: an answer was wrong, or did not come.
    """
    kinds: list[Callable[[tuple[str, str]], Player]] = [Putter, Batcher]
    casts = [[kind(user) for user in users[:CONNECTIONS]] for kind in kinds]
    found: list[list[Measured]] = [[], []]
    for number in range(-1, rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            measured = _round(server, mongod, casts[which], SIZE if which else 1, seconds)
            found[which] += [measured] if number >= 0 else []  # the first of each warms up
    singles, batches = found
    ratios = [batch.rate / single.rate for batch, single in zip(batches, singles, strict=True)]
    return {
        "size": SIZE,
        "ratio": round(median(ratios), 2),
        "goal": GOAL,
        "single": _median(singles),
        "batched": _median(batches),
    }


def _round(
    server: Server, mongod: int, players: list[Player], writes: int, seconds: float
) -> Measured:
    pids = (server.process.pid, mongod)
    before = [cpu_seconds(pid) for pid in pids]
    try:
        played = asyncio.run(play(server.port, players, seconds))
    except (WrongAnswerError, OSError) as error:
        raise BenchError(f"{error}\n{server.last_lines()}") from None
    used = [cpu_seconds(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
    stored = played.requests * writes
    return Measured(stored / played.seconds, *(1e6 * each / stored for each in used))


def _median(rounds: list[Measured]) -> dict[str, float]:
    return {
        "valuesPerSecond": round(median(each.rate for each in rounds)),
        "serverMicroseconds": round(median(each.server for each in rounds), 1),
        "mongodMicroseconds": round(median(each.mongod for each in rounds), 1),
    }


def _request(method: str, user: tuple[str, str], path: str, body: str) -> bytes:
    head = f"{method} /v1/users/{user[0]}/apps/{_APP}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += (
        f"Authorization: Bearer {user[1]}\r\nContent-Type: application/json\r\nContent-Length:"
        f" {len(body)}\r\n\r\n"
    )
    return (head + body).encode()
