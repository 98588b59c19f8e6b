"""What the worker does for app data: expiry, and what is left of large deletions."""

from datetime import datetime, timedelta
from typing import Final

from app.app_data.clearing import CLEAR_JOB, go_on
from app.app_data.query_building import BUILD_JOB, build_due
from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.settings import Settings
from models.app import App
from models.app_data import AppData
from models.app_data_expiry import expire_due, next_expiry

_EXPIRY: Final = "expire-app-data"
_BATCH: Final = 1000
PERIODIC: Final = {_EXPIRY: 300.0, BUILD_JOB: 300.0}
WOKEN: Final = {
    _EXPIRY: (Watched(AppData, "expiresAt", in_crowd=True),),
    BUILD_JOB: (Watched(App, "queriesChangedAt"),),
}
PLACES: Final = {CLEAR_JOB: 2}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

    async def clear(claim: Claim) -> None:
        """Go on with a deletion of many values that was too large to be done while its caller
        waited."""
        await go_on(claim, settings)

    async def build(claim: Claim) -> datetime | None:
        """Give what is stored its place in the queries that apps have declared since."""
        return await build_due(claim, timedelta(seconds=settings.credential_cache_seconds))

    return {_EXPIRY: _expire, CLEAR_JOB: clear, BUILD_JOB: build}


async def _expire(claim: Claim) -> datetime | None:
    """Turn app data whose time is over into tombstones, so that devices learn of it."""
    total = 0
    while expired := await expire_due(_BATCH):
        total += expired
        await claim.renew(expired=total)
    return await next_expiry()
