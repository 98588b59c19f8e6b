"""What the worker does for app data: expiry, and what is left of large deletions."""

from datetime import datetime
from typing import Final

from app.app_data.clearing import CLEAR_JOB, go_on
from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.settings import Settings
from models.app_data import AppData

_EXPIRY: Final = "expire-app-data"
_BATCH: Final = 1000
PERIODIC: Final = {_EXPIRY: 300.0}
WOKEN: Final = {_EXPIRY: (Watched(AppData, "expiresAt"),)}
PLACES: Final = {CLEAR_JOB: 2}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

    async def expire(claim: Claim) -> datetime | None:
        """Turn app data whose time is over into tombstones, so that devices learn of it."""
        total = 0
        while expired := await AppData.expire_due(_BATCH):
            total += expired
            await claim.renew(expired=total)
        return await AppData.next_expiry()

    async def clear(claim: Claim) -> None:
        """Go on with a deletion of many values that was too large to be done while its caller waited."""
        await go_on(claim)

    return {_EXPIRY: expire, CLEAR_JOB: clear}
