"""What is looked at while a soak runs, from a thread of its own: which jobs and queues wait, and
for how long."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from scripts.bench.soak.plant import Planted
from scripts.bench.soak.program import Fleet

_EVERY: Final = 1.0
_WEIGHED_EVERY: Final = 5
_Turn = tuple[str, str, Any]
"""`jobs` or `queues`, which, and what is another once it was done: its wait begins anew then."""


class Watch:
    """Waits, in seconds, of what should have been done. Times when nothing could run do not count.

    Attributes:
        jobs: the longest wait of each job.
        held: the same of those that have failed because somebody else's transaction stood in their
            way.
        queues: the longest wait of each card's queue.
    """

    def __init__(self, fleet: Fleet, planted: Planted) -> None:
        self.jobs: defaultdict[str, float] = defaultdict(float)
        self.held: defaultdict[str, float] = defaultdict(float)
        self.queues: defaultdict[str, float] = defaultdict(float)
        self._fleet = fleet
        self._planted = planted
        self._over = threading.Event()
        self._waits: dict[_Turn, float] = {}
        self._in_the_way: set[str] = set()

    @contextmanager
    def over(self) -> Iterator["Watch"]:
        """Watch while the body runs."""
        thread = threading.Thread(target=self._look_again_and_again, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _look_again_and_again(self) -> None:
        name, last, turn = self._fleet.environment["SATCHEL_DATABASE"], time.monotonic(), 0
        with MongoClient[dict[str, Any]](
            self._fleet.mongod.uri, timeoutMS=3000, tz_aware=True
        ) as client:
            while not self._over.wait(_EVERY):
                turn += 1
                if turn % _WEIGHED_EVERY == 0:
                    for program in self._fleet.programs:
                        program.weigh()
                moment = time.monotonic()
                try:
                    due = self._due(client[name])
                except PyMongoError:  # the database is down: nothing can run
                    last = time.monotonic()
                    continue
                self._count(due, moment - last if self._fleet.can_work() else 0.0)
                last = moment

    def _due(self, database: Any) -> list[_Turn]:
        """What should have been done by now: periodic jobs since their period, whatever keeps them
        from it."""
        now = datetime.now(UTC)
        where: dict[str, Any] = {
            "state": "due",
            "_id": {"$nin": ["migrate", *self._planted.ids("jobs")]},
        }
        rows = [row for row in database.jobs.find(where) if _is_late(row, now)]
        self._in_the_way = {
            str(row["_id"])
            for row in rows
            if str(row.get("lastError")).endswith("(AlwaysOvertaken)")
        }
        found: list[_Turn] = [("jobs", str(row["_id"]), row.get("lastRunAt")) for row in rows]
        where = {
            "waiting": {"$gt": 0},
            "dueAt": {"$lte": now},
            "_id": {"$nin": self._planted.ids("cardqueues")},
        }
        return found + [
            ("queues", str(row["_id"]), row["fence"]) for row in database.cardqueues.find(where)
        ]

    def _count(self, due: list[_Turn], seconds: float) -> None:
        self._waits = {turn: self._waits.get(turn, 0.0) + seconds for turn in due}
        for (kind, name, _), waited in self._waits.items():
            longest = (
                self.queues
                if kind == "queues"
                else self.held
                if name in self._in_the_way
                else self.jobs
            )
            longest[name] = max(longest[name], waited)


def _is_late(row: dict[str, Any], now: datetime) -> bool:
    """Whether a job should have been done, or begun where it is done once."""
    ran, every = row.get("lastRunAt"), row.get("everySeconds")
    if ran is not None and every is not None and ran + timedelta(seconds=every) < now:
        return True
    return bool(row["runAt"] <= now and row.get("leasedUntil", now) <= now)
