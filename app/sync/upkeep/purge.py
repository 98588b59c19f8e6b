"""The purge of tombstones that are old enough to be forgotten, such that no version of a key is
ever used twice.

First the floor of versions is raised above all that are to go, and the horizon of cursors set. Then
as long is waited as a write may be under way that was sent by the floor before (a lease and the
fence of deletions), and until the database has answered for a while. Only then they are removed:
whoever makes one of their keys anew begins after the floor. Killed on the way, it begins again: the
floor only rises.
"""

from asyncio import sleep
from collections.abc import AsyncIterator
from time import monotonic
from typing import Final

from bson import ObjectId
from bson import Timestamp as ClusterTime
from pymongo.asynchronous.client_session import AsyncClientSession

from app.database import client, transaction
from app.errors import NotFound
from app.jobs import Claim
from app.relations.guards import check_references
from app.settings import Settings
from app.sync.horizon import DAY, TOMBSTONE_DAYS
from app.sync.overlap import overlap_of
from models.app import App
from models.app_data_purge import Old, find_old, next_app, remove
from models.app_usage import AppUsage
from models.base import now

_AT_ONCE: Final = 20_000
_BATCH: Final = 1000
_ANSWERING: Final = 20.0
"""So many seconds the database has to have answered before tombstones are removed: longer than a
request's time."""
_ASKED_EVERY: Final = 2.0
_SLOW: Final = 3.0
"""An answer that takes longer may have been kept."""


async def purge(claim: Claim, settings: Settings) -> int:
    """Forget what is old enough, of many apps at a time. Returns how many tombstones went."""
    total, overlap = 0, await overlap_of(client())
    async for old in _rounds():
        total += await _forget(old, claim, settings, overlap)
        await claim.renew(purged=total)
    return total


async def _rounds() -> AsyncIterator[list[Old]]:
    """What is to be forgotten, app by app, in rounds of which each waits once for writes that are
    under way."""
    together: list[Old] = []
    app_id = await next_app("")
    while app_id is not None:
        days = (await App.find_tombstone_days([app_id])).get(app_id, TOMBSTONE_DAYS)
        before = ClusterTime(int(now().timestamp()) - days * DAY, 0)
        room = _AT_ONCE - sum(len(old.ids) for old in together)
        old = await find_old(app_id, before, room)
        together += [old] if old.ids else []
        if len(old.ids) == room:
            yield together
            together = []
        else:
            app_id = await next_app(app_id)
    if together:
        yield together


async def _forget(together: list[Old], claim: Claim, settings: Settings, overlap: int) -> int:
    """Forget some tombstones of some apps."""
    removed = 0
    async with claim.kept():
        for old in together:
            horizon = ClusterTime(old.before.time + overlap, 0)  # all had committed by then
            for user_id, version in old.versions.items():
                await _raise_floor(user_id, old.app_id, version, horizon)
        await _wait_for_writes(claim, settings.lease_seconds + settings.deletion_fence_seconds)
        for old in together:
            for start in range(0, len(old.ids), _BATCH):
                await claim.renew()  # raises where another worker has the job
                removed += await remove(old, old.ids[start : start + _BATCH])
    return removed


async def _wait_for_writes(claim: Claim, seconds: float) -> None:
    """Wait until no write can be under way that knows the floor of before.

    A database that stops keeps what was sent to it, and does it when it goes on. So the last part
    of the wait counts only while it answers: what it had kept is done by then.
    """
    ends = answers_since = last = monotonic()
    ends += seconds
    while last < ends or last < answers_since + min(_ANSWERING, seconds):
        await sleep(min(_ASKED_EVERY, seconds))
        await claim.renew()
        if monotonic() - last > _ASKED_EVERY + _SLOW:
            answers_since = monotonic()
        last = monotonic()


async def _raise_floor(user_id: ObjectId, app_id: str, version: int, horizon: ClusterTime) -> None:
    """Raise the floor of a user and app, unless the user is on the way out with everything."""

    async def work(session: AsyncClientSession) -> None:
        await check_references(AppUsage, {"userId": user_id}, session)
        await AppUsage.raise_floor(user_id, app_id, version, horizon, session=session)

    try:
        await transaction(work)
    except NotFound:
        return
