"""What the worker does for sync: forgets old tombstones, and stamps anew what was stamped long
before it committed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from app.jobs import Claim, Handler
from app.jobs.watching import Watched
from app.settings import Settings
from app.sync.upkeep.purge import purge
from app.sync.upkeep.repair import repair

_PURGE: Final = "purge-tombstones"
_REPAIR: Final = "repair-stamps"
PERIODIC: Final = {_PURGE: 24 * 60 * 60.0, _REPAIR: 300.0}
WOKEN: Final[Mapping[str, tuple[Watched, ...]]] = {}
PLACES: Final[Mapping[str, int]] = {}


def handlers(settings: Settings) -> dict[str, Handler]:
    """What is to be done for each kind of job."""

    async def forget(claim: Claim) -> datetime | None:
        await purge(claim, settings)
        return None

    async def stamp_anew(claim: Claim) -> datetime | None:
        await repair(claim)
        return None

    return {_PURGE: forget, _REPAIR: stamp_anew}
