"""What the worker does for app data: expiry."""

from datetime import datetime
from typing import Final

from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.settings import Settings
from models.app_data import AppData

_EXPIRY: Final = "expire-app-data"
_BATCH: Final = 1000
PERIODIC: Final = {_EXPIRY: 300.0}
WOKEN: Final = {_EXPIRY: (Watched(AppData, "expiresAt"),)}
PLACES: Final[dict[str, int]] = {}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

    async def expire(claim: Claim) -> datetime | None:
        """Turn app data whose time is over into tombstones, so that devices learn of it."""
        total = 0
        while expired := await AppData.expire_due(_BATCH):
            total += expired
            await claim.renew(expired=total)
        return await AppData.next_expiry()

    return {_EXPIRY: expire}
