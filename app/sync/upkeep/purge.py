"""The purge of tombstones that are old enough to be forgotten, such that no version of a key is
ever used twice.

First the floor of versions is raised above all that are to go, and the horizon of cursors set. Then
as long is waited as a write may be under way that was sent by the floor before (a lease and the
fence of deletions). Only then they are
removed: whoever makes one of their keys anew begins after the floor. Killed on the way, it begins
    again: the floor
only rises.
"""

from asyncio import sleep
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


async def purge(claim: Claim, settings: Settings) -> int:
    """Forget what is old enough, app by app. Returns how many tombstones went."""
    total, overlap = 0, await overlap_of(client())
    app_id = await next_app("")
    while app_id is not None:
        days = (await App.find_tombstone_days([app_id])).get(app_id, TOMBSTONE_DAYS)
        before = ClusterTime(int(now().timestamp()) - days * DAY, 0)
        while (old := await find_old(app_id, before, _AT_ONCE)).ids:
            total += await _forget(old, claim, settings, overlap)
            await claim.renew(purged=total)
            if len(old.ids) < _AT_ONCE:
                break
        app_id = await next_app(app_id)
    return total


async def _forget(old: Old, claim: Claim, settings: Settings, overlap: int) -> int:
    """Forget some tombstones of an app."""
    horizon = ClusterTime(old.before.time + overlap, 0)  # by then all of them had committed
    removed = 0
    async with claim.kept():
        for user_id, version in old.versions.items():
            await _raise_floor(user_id, old.app_id, version, horizon)
        await sleep(settings.lease_seconds + settings.deletion_fence_seconds)
        for start in range(0, len(old.ids), _BATCH):
            await claim.renew()  # raises where another worker has the job
            removed += await remove(old, old.ids[start : start + _BATCH])
    return removed


async def _raise_floor(user_id: ObjectId, app_id: str, version: int, horizon: ClusterTime) -> None:
    """Raise the floor of a user and app, unless the user is on the way out with everything."""

    async def work(session: AsyncClientSession) -> None:
        await check_references(AppUsage, {"userId": user_id}, session)
        await AppUsage.raise_floor(user_id, app_id, version, horizon, session=session)

    try:
        await transaction(work)
    except NotFound:
        return
