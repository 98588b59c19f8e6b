"""The events of a large day, and those that come in meanwhile."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from models.base import Raw

APP: Final = "bench"
CHUNK: Final = 20_000
_NAMES, _PEOPLE, _VISIT = 20, 20_000, 20
_LIVE: Final = 5  # events at once, so many times a second
_EVERY: Final = 0.2


class Live(threading.Thread):
    """Whoever sends events all the while, and looks how far the rollups are; a context manager that
    stops it."""

    def __init__(self, database: Database[Raw]) -> None:
        super().__init__(daemon=True)
        self.database, self.ended = database, threading.Event()
        self.lag, self.rolled_up = 0.0, False

    def run(self) -> None:
        """Send, look, wait, until it is ended."""
        while not self.ended.wait(_EVERY):
            moment = datetime.now(UTC)
            self.database.analytics.insert_many([_event(moment, number) for number in range(_LIVE)])
            state = self.database.rollupstate.find_one({}) or {}
            behind = (datetime.now(UTC) - state["asOf"]).total_seconds()
            self.lag = max(self.lag, behind)
            self.rolled_up = (
                self.rolled_up or self.database.countdays.count_documents({"day": midnight()}) > 0
            )

    def __enter__(self) -> "Live":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()


def midnight() -> datetime:
    """When this day began."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def plant(uri: str, database: str, day: datetime, size: int, start: int) -> int:
    """Insert a chunk of a day\'s events, from the one of number `start` on; how many."""
    step = timedelta(days=1) / size
    rows = [
        _event(day + number * step, number) for number in range(start, min(size, start + CHUNK))
    ]
    with MongoClient[Raw](uri) as client:
        client[database].analytics.insert_many(rows, ordered=False)
    return len(rows)


def _event(moment: datetime, number: int) -> Raw:
    """An event of some 400 bytes."""
    person = number * 7919 % _PEOPLE
    return {
        "_id": ObjectId(),
        "appId": APP,
        "eventName": f"event_{number % _NAMES}",
        "eventCategory": "conversion",
        "eventData": {"path": f"/places/{number % 1000}", "plan": "team", "total": number},
        "externalId": f"person-{person}",
        "sessionId": f"{moment:%H}-{number // _VISIT}",
        "messageId": f"{moment.timestamp()}-{number}",
        **dict.fromkeys(("timestamp", "receivedAt", "createdAt", "updatedAt"), moment),
        "version": 1,
    }
