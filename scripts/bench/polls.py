"""Polls, a part of `bench-sync`: what an empty `changes` costs beside one read of a value, with 100
keys and with 100,000, before and after a million documents of others; and a poll with ten changes.

One connection asks at a time, so that no request gains by company.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any, Final

import httpx2
from bson import ObjectId
from bson import Timestamp as ClusterTime
from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

from models.base import Raw, now
from scripts.bench.data import value_row
from scripts.bench.load import WrongAnswerError, play
from scripts.bench.processes import BenchError, Server, cpu_seconds
from scripts.bench.traffic import Player, value

GOAL: Final = 1.3
"""An empty poll's CPU in the server, in reads of one value."""
FLAT: Final = 1.2
"""How much more an empty poll may cost with many keys or documents than with few."""
FEW, MANY = 100, 100_000
_CHANGED: Final = 10
_APP: Final = "bench-polls"
_KEPT: Final = 24 * 60 * 60
"""How old what is stored is: no poll looks at it again."""
_TOGETHER: Final = 5000
User = tuple[str, str]


class Asker:
    """Sends one request again and again, whose answer has to have a text."""

    def __init__(self, user: User, path: str, has: bytes) -> None:
        head = f"GET /v1/users/{user[0]}/apps/{_APP}/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        self._request = f"{head}Authorization: Bearer {user[1]}\r\n\r\n".encode()
        self._has = has

    def request(self) -> bytes:
        """The request."""
        return self._request

    def check(self, status: int, body: bytes) -> str | None:
        """What is wrong with the answer."""
        return None if status == 200 and self._has in body else f"{status} {body[:200]!r}"


@dataclass(frozen=True, slots=True)
class Round:
    """CPU microseconds of a request, in the server and in MongoDB, and its median milliseconds."""

    server: float
    mongod: float
    p50: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What is asked, and where what is stored is put.

    Attributes:
        server: a Satchel.
        mongod: process id of its MongoDB.
        uri: of that.
        database: of the Satchel.
        documents: of others, in the end.
    """

    server: Server
    mongod: int
    uri: str
    database: str
    documents: int


def measure(bench: Bench, users: list[User], rounds: int, seconds: float = 0.5) -> dict[str, Any]:
    """Reads and polls in turn, before and after the documents of others are there.

    Args:
        bench: where.
        users: three, with ids and access tokens.
        rounds: of each kind.
        seconds: of a round.

    Raises:
        BenchError: an answer was wrong, or did not come.
    """
    few, many, changed = users[:3]
    counts = {few: FEW, many: min(MANY, bench.documents), changed: FEW}
    with MongoClient[Raw](bench.uri) as client:
        rows = client[bench.database].get_collection(
            "appdata", write_concern=WriteConcern(w=1, j=False)
        )
        for user, count in counts.items():
            _fill(rows, count, lambda _, user=user: ObjectId(user[0]))  # type: ignore[misc]
        cursors = {user: _cursor(bench.server, user) for user in users[:3]}
        _change(bench.server, changed)
        kinds: dict[str, Player] = {
            "read": Asker(few, "data/key000000", b'"panels"'),
            "emptyAtFew": Asker(few, f"changes?since={cursors[few]}", b'"changes":[]'),
            "emptyAtMany": Asker(many, f"changes?since={cursors[many]}", b'"changes":[]'),
            "tenChanges": Asker(changed, f"changes?since={cursors[changed]}", b'"key000009"'),
        }
        before = _rounds(bench, kinds, rounds, seconds)
        others = [ObjectId() for _ in range(1 + bench.documents // FEW)]
        began = time.monotonic()
        _fill(rows, bench.documents, lambda number: others[number // FEW])
        filled = time.monotonic() - began
        after = _rounds(bench, kinds, rounds, seconds)
        stored = rows.estimated_document_count()
    sizes = {"few": FEW, "many": counts[many], "documents": stored}
    return _told(before, after) | sizes | {"filledSeconds": round(filled, 1)}


def _told(before: dict[str, list[Round]], after: dict[str, list[Round]]) -> dict[str, Any]:
    empty = _ratio(before, "emptyAtFew", "read")
    flat = [
        _ratio(before, "emptyAtMany", "read") / empty,
        _ratio(after, "emptyAtFew", "read") / empty,
        _ratio(after, "emptyAtMany", "read") / empty,
    ]
    worst = max(
        _ratio(stage, name, "read")
        for stage in (before, after)
        for name in ("emptyAtFew", "emptyAtMany")
    )
    return {
        "goal": GOAL,
        "emptyInReads": round(worst, 2),
        "flatGoal": FLAT,
        "flatness": round(max(flat), 2),
        "before": _stage(before),
        "after": _stage(after),
    }


def _stage(found: dict[str, list[Round]]) -> dict[str, Any]:
    return {
        name: {
            "serverMicroseconds": round(median(each.server for each in rounds), 1),
            "mongodMicroseconds": round(median(each.mongod for each in rounds), 1),
            "p50Ms": round(median(each.p50 for each in rounds), 2),
            "serverInReads": round(_ratio(found, name, "read"), 2),
            "mongodInReads": round(_ratio(found, name, "read", lambda each: each.mongod), 2),
        }
        for name, rounds in found.items()
    }


def _ratio(
    found: dict[str, list[Round]],
    name: str,
    other: str,
    of: Callable[[Round], float] = lambda each: each.server,
) -> float:
    """The median of the ratios of the rounds that were played beside each other."""
    pairs = zip(found[name], found[other], strict=True)
    return median(of(one) / of(two) for one, two in pairs)


def _rounds(
    bench: Bench, kinds: dict[str, Player], rounds: int, seconds: float
) -> dict[str, list[Round]]:
    """All kinds in turn, the other way round every second time; the first round warms up."""
    found: dict[str, list[Round]] = {name: [] for name in kinds}
    for number in range(-1, rounds):
        names = list(kinds) if number % 2 else list(reversed(kinds))
        for name in names:
            measured = _round(bench, kinds[name], seconds)
            found[name] += [measured] if number >= 0 else []
    return found


def _round(bench: Bench, player: Player, seconds: float) -> Round:
    pids = (bench.server.process.pid, bench.mongod)
    before = [cpu_seconds(pid) for pid in pids]
    try:
        played = asyncio.run(play(bench.server.port, [player], seconds))
    except (WrongAnswerError, OSError) as error:
        raise BenchError(f"{error}\n{bench.server.last_lines()}") from None
    server, mongod = (
        1e6 * (cpu_seconds(pid) - earlier) / played.requests
        for pid, earlier in zip(pids, before, strict=True)
    )
    return Round(server, mongod, played.p50)


def _fill(rows: Any, count: int, whose: Callable[[int], ObjectId]) -> None:
    """Put values there that are old."""
    made = iter(_values(count, whose))
    while some := list(islice(made, _TOGETHER)):
        rows.insert_many(some, ordered=False)


def _values(count: int, whose: Callable[[int], ObjectId]) -> Iterator[Raw]:
    stamp = int(now().timestamp()) - _KEPT
    for number in range(count):
        row = value_row(whose(number), _APP, f"key{number:06}", number)
        yield row | {"changedAt": ClusterTime(stamp, number + 1)}


def _cursor(server: Server, user: User) -> str:
    """That of a client who has everything: a batch that deletes what is not there tells where the
    server stands, and a poll from there knows what it has sent."""
    answer = _post(server, user, [{"dataKey": "none", "delete": True}])
    polled = httpx2.get(
        f"http://127.0.0.1:{server.port}/v1/users/{user[0]}/apps/{_APP}/changes",
        params={"since": answer["cursor"]},
        headers={"Authorization": f"Bearer {user[1]}"},
        timeout=30,
    )
    if polled.status_code != 200 or polled.json()["changes"]:
        raise BenchError(f"changes: {polled.status_code} {polled.text[:200]}")
    return str(polled.json()["cursor"])


def _change(server: Server, user: User) -> None:
    writes = [{"dataKey": f"key{number:06}", "value": value(number)} for number in range(_CHANGED)]
    _post(server, user, writes)


def _post(server: Server, user: User, writes: list[dict[str, Any]]) -> Any:
    answer = httpx2.post(
        f"http://127.0.0.1:{server.port}/v1/users/{user[0]}/apps/{_APP}/batch",
        json={"writes": writes},
        headers={"Authorization": f"Bearer {user[1]}"},
        timeout=30,
    )
    if answer.status_code != 200:
        raise BenchError(f"batch: {answer.status_code} {answer.text[:200]}")
    return answer.json()
