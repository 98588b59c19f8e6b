"""The requests of each workload as bytes, the same for both servers, and the check of every
answer."""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, cycle
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from scripts.bench.data import Plan

VALUE_PATH: Final = "/v1/users/{userId}/apps/{appId}/data/{dataKey}"
EVENTS_PATH: Final = "/v1/analytics/events"
APP: Final = "bench"
OWNED_APP: Final = "bench-owned"
OWNED_KEYS: Final = 8
BATCH: Final = 50
LARGE_BATCH: Final = 500
_SAMPLE: Final = 20_000
_WRITES: Final = 0.05
_SKEW: Final = 0.99
_NOW: Final = datetime.now(UTC)  # events are of the last hour, as clients send them
_FRESH: Final = b"0" * 16
_VERSION: Final = re.compile(rb'"version":(\d+)')


class Player(Protocol):
    """One connection's part: it says what to send, and whether the answer is right."""

    def request(self) -> bytes:
        """The next request."""

    def check(self, status: int, body: bytes) -> str | None:
        """What is wrong with the answer to the last request, None if nothing."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of traffic, and what Satchel shall reach.

    Attributes:
        title: what tables call it.
        goal: the least part of the throughput of the yardstick with one index.
        players: the connections, as many as the plan has.
        goal_indexed: the same of the yardstick with all of our indexes; None where it has none.
        alone: whether it is played by one connection, and measured by its median latency: then
            `goal` is the most, in times of the yardstick's.
    """

    title: str
    goal: float
    players: Callable[["Plan"], list[Player]]
    goal_indexed: float | None = None
    alone: bool = False


class Reader:
    """Reads values, each as likely as any other."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests

    def request(self) -> bytes:
        """The next request."""
        return next(self._requests)

    def check(self, status: int, body: bytes) -> str | None:
        """A value has to come."""
        return (
            None if status == 200 and body.startswith(b'{"theme":') else _unexpected(status, body)
        )


class Mixer(Reader):
    """Reads mostly and writes sometimes, popular keys far more often than others."""

    def check(self, status: int, body: bytes) -> str | None:
        """A value has to come, or what was written."""
        right = status == 200 and body.startswith((b'{"theme":', b'{"dataKey":'))
        return None if right else _unexpected(status, body)


class Swapper:
    """Compare-and-set: it alone writes its keys, so that each write has to move the version on by
    one."""

    def __init__(self, user: tuple[str, str]) -> None:
        self._heads: list[bytes] = []
        for number in range(OWNED_KEYS):
            body = _json(value(number))
            head = _head("PUT", _path(user[0], OWNED_APP, number), user[1], len(body))
            self._heads.append(head + b'If-Match: "%d"\r\n\r\n' + body)
        self._versions = [1] * OWNED_KEYS
        self._turn = 0

    def request(self) -> bytes:
        """The next request."""
        self._turn = (self._turn + 1) % OWNED_KEYS
        return self._heads[self._turn] % self._versions[self._turn]

    def check(self, status: int, body: bytes) -> str | None:
        """The version has to be the next one."""
        found = _VERSION.search(body)
        expected = self._versions[self._turn] + 1
        if status != 200 or found is None or int(found[1]) != expected:
            return f"version {expected} was due: {_unexpected(status, body)}"
        self._versions[self._turn] = expected
        return None


class Sender:
    """Sends events, each with a message id of its own."""

    def __init__(self, templates: Sequence[bytes], number: int, count: int) -> None:
        self._templates = cycle(templates)
        self._sent = ((count & 0xFF) << 56) + (number << 40)
        self._accepted = b'"accepted":%d' % count

    def request(self) -> bytes:
        """The next request."""
        self._sent += 1
        return next(self._templates).replace(_FRESH, b"%016x" % self._sent)

    def check(self, status: int, body: bytes) -> str | None:
        """Every event has to be taken."""
        return None if status == 200 and self._accepted in body else _unexpected(status, body)


def value(number: int) -> dict[str, Any]:
    """A value such as an app keeps: some 300 bytes of settings."""
    return {
        "theme": "dark" if number % 2 else "light",
        "zoom": 1.25,
        "panels": [
            {"id": f"panel-{place}", "open": place % 2 == 0, "width": 240 + place}
            for place in range(4)
        ],
        "recent": ["inbox", "calendar", "reports"],
        "seenTour": True,
        "lastPlace": None,
    }


def _readers(plan: "Plan") -> list[Player]:
    reads = all_reads(plan)
    return [Reader(_drawn(reads, None, number)) for number in range(plan.connections)]


def _swappers(plan: "Plan") -> list[Player]:
    return [Swapper(plan.users[number]) for number in range(plan.connections)]


def _mixers(plan: "Plan") -> list[Player]:
    """Requests by Zipf's law over every key: the n-th most popular is asked for in proportion to
    1/n^0.99."""
    reads, writes = all_reads(plan), all_writes(plan)
    order = list(range(len(reads)))
    random.Random(1).shuffle(order)
    reads, writes = [reads[place] for place in order], [writes[place] for place in order]
    weights = list(accumulate(1 / rank**_SKEW for rank in range(1, len(reads) + 1)))
    players: list[Player] = []
    for number in range(plan.connections):
        chance = random.Random(number)
        hot = _drawn(reads, weights, number)
        changed = _drawn(writes, weights, ~number)
        mixed = [next(changed if chance.random() < _WRITES else hot) for _ in range(_SAMPLE)]
        players.append(Mixer(cycle(mixed)))
    return players


def _drawn(
    requests: Sequence[bytes], weights: Sequence[float] | None, seed: int
) -> Iterator[bytes]:
    return cycle(random.Random(seed).choices(requests, cum_weights=weights, k=_SAMPLE))


def _senders(count: int, *, batch: bool) -> Callable[["Plan"], list[Player]]:
    def players(plan: "Plan") -> list[Player]:
        templates = []
        for number, (user_id, _) in enumerate(plan.users):
            events = [_event(user_id, number + place, place) for place in range(count)]
            body = _json(events if batch else events[0])
            templates.append(_head("POST", EVENTS_PATH, plan.event_key, len(body)) + b"\r\n" + body)
        return [
            Sender(templates[number:] + templates[:number], number + 1, count)
            for number in range(plan.connections)
        ]

    return players


def _event(user_id: str, number: int, place: int) -> dict[str, Any]:
    return {
        "appId": APP,
        "eventName": ("page_viewed", "item_opened", "signup", "search", "upgrade_clicked")[
            number % 5
        ],
        "eventCategory": ("engagement", "conversion", "custom")[number % 3],
        "eventData": {
            "path": f"/places/{number}",
            "milliseconds": 120 + number,
            "plan": "team",
            "first": False,
        },
        "userId": user_id,
        "sessionId": f"session-{number % 100}",
        "timestamp": (_NOW - timedelta(minutes=number % 60, seconds=place % 60)).isoformat(),
        "messageId": f"{_FRESH.decode()}-{place:02}",
    }


def all_reads(plan: "Plan") -> list[bytes]:
    """A request for every value of every user."""
    return [
        _head("GET", _path(user_id, APP, number), token) + b"\r\n"
        for user_id, token in plan.users
        for number in range(plan.keys)
    ]


def all_writes(plan: "Plan") -> list[bytes]:
    """A request that stores each of these values, without a precondition."""
    bodies = [_json(value(number)) for number in range(plan.keys)]
    return [
        _head("PUT", _path(user_id, APP, number), token, len(body)) + b"\r\n" + body
        for user_id, token in plan.users
        for number, body in enumerate(bodies)
    ]


def _path(user_id: str, app_id: str, number: int) -> str:
    return VALUE_PATH.format(userId=user_id, appId=app_id, dataKey=f"key-{number}")


def _head(method: str, path: str, credential: str, length: int | None = None) -> bytes:
    """The request's head without the empty line at its end, with the headers that clients commonly
    send."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate",
        "User-Agent: satchel-bench",
        f"Authorization: Bearer {credential}",
    ]
    if length is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _json(what: object) -> bytes:
    return json.dumps(what, separators=(",", ":")).encode()


def _unexpected(status: int, body: bytes) -> str:
    return f"{status} {body[:200].decode(errors='replace')}"


WORKLOADS: Final = {
    "read": Workload("Read one value", 1.8, _readers),
    "mix": Workload("95/5 zipfian mix", 1.5, _mixers),
    "cas": Workload("Compare-and-set", 1.0, _swappers),
    "event": Workload("Single event", 1.5, _senders(1, batch=False)),
    "batch": Workload(f"Batch of {BATCH} events", 0.5, _senders(BATCH, batch=True), 0.9),
    "batch500": Workload(
        f"Batch of {LARGE_BATCH} events", 0.5, _senders(LARGE_BATCH, batch=True), 0.9
    ),
    "alone": Workload("Read one value, one connection", 1.15, _readers, alone=True),
}
"""Every workload by the name that `--only` takes."""
