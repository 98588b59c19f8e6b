"""Satchel's server and worker in a time of their own: tombstones live for seconds, so that a run of
a minute sees many purged, and transactions are slow to commit, so that stamps and commits differ.

The overlap is derived as ever, from the life that the database gives transactions. `WITHOUT` in the
environment takes it away: such a server misses changes, which shows that the run would notice.
"""

import asyncio
import os
import random
import sys
from typing import TYPE_CHECKING, Any, Final

from pymongo.asynchronous.client_session import AsyncClientSession

from app.sync import changes, horizon, jobs, overlap
from app.sync.upkeep import purge

if TYPE_CHECKING:
    from fastapi import FastAPI

WITHOUT: Final = "NOTHING_MISSED_WITHOUT_OVERLAP"
LIFETIME_SECONDS: Final = 4
"""Of a transaction: what the bench tells the database."""
OVERLAP_SECONDS: Final = 8
"""What follows from it, with a margin of two seconds."""
DAY_SECONDS: Final = 20
FENCE_SECONDS: Final = 6
"""Longer than a request may take."""
_PURGED_EVERY: Final = 3.0
_HELD: Final = ((0.7, 0.0), (0.88, 0.3), (0.97, 1.5), (1.0, 3.6))
"""How long a transaction is held open before it commits: part of them, and seconds at most."""
_SCALED: Final[tuple[tuple[Any, str, Any], ...]] = (
    (overlap, "_MARGIN", 2),
    (horizon, "DAY", DAY_SECONDS),
    (horizon, "_ALWAYS_GOOD", DAY_SECONDS // 2),
    (purge, "DAY", DAY_SECONDS),
)


def _scale() -> None:
    for module, name, value in _SCALED:
        setattr(module, name, value)
    jobs.PERIODIC["purge-tombstones"] = _PURGED_EVERY


def _hold_transactions() -> None:
    commit = AsyncClientSession.commit_transaction

    async def held(session: AsyncClientSession) -> None:
        chance = random.random()
        most = next(most for share, most in _HELD if chance <= share)
        await asyncio.sleep(random.uniform(0, most))
        await commit(session)

    setattr(AsyncClientSession, commit.__name__, held)


def application() -> "FastAPI":
    """The server's application."""
    from scripts.serve import application as usual  # noqa: PLC0415  # after what it imports is set

    _scale()
    _hold_transactions()
    if os.environ.get(WITHOUT):
        setattr(changes, "before", lambda at, _: at)  # noqa: B010  # a name of another module
    return usual()


if __name__ == "__main__":
    from scripts.cli import main

    _scale()
    sys.argv = ["scripts", "worker"]
    main()
