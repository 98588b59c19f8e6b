"""What is looked at while a soak runs, from a thread of its own: which jobs and queues wait, and for how long."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from scripts.bench.soak.plant import Planted
from scripts.bench.soak.program import Fleet

_EVERY: Final = 1.0
_WEIGHED_EVERY: Final = 5
_Turn = tuple[str, str, int]
"""`jobs` or `queues`, which, and its fence: one that was claimed since waits anew."""


class Watch:
    """Waits, in seconds, of what is due and in nobody's hands. Times when nothing could run do not count.

    Attributes:
        jobs: the longest wait of each job.
        queues: the longest wait of each card's queue.
    """

    def __init__(self, fleet: Fleet, planted: Planted) -> None:
        self.jobs: defaultdict[str, float] = defaultdict(float)
        self.queues: defaultdict[str, float] = defaultdict(float)
        self._fleet = fleet
        self._planted = planted
        self._over = threading.Event()
        self._waits: dict[_Turn, float] = {}

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
        with MongoClient[dict[str, Any]](self._fleet.mongod.uri, timeoutMS=3000, tz_aware=True) as client:
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
        """What is due and in nobody's hands now."""
        now, fields = datetime.now(UTC), {"fence": 1}
        where: dict[str, Any] = {"state": "due", "runAt": {"$lte": now}, "leasedUntil": {"$not": {"$gt": now}}}
        where["_id"] = {"$nin": ["migrate", *self._planted.ids("jobs")]}  # which is no worker's
        found = [("jobs", str(row["_id"]), row["fence"]) for row in database.jobs.find(where, fields)]
        where = {"waiting": {"$gt": 0}, "dueAt": {"$lte": now}, "_id": {"$nin": self._planted.ids("cardqueues")}}
        return found + [("queues", str(row["_id"]), row["fence"]) for row in database.cardqueues.find(where, fields)]

    def _count(self, due: list[_Turn], seconds: float) -> None:
        self._waits = {turn: self._waits.get(turn, 0.0) + seconds for turn in due}
        for (kind, name, _), waited in self._waits.items():
            longest = self.jobs if kind == "jobs" else self.queues
            longest[name] = max(longest[name], waited)
