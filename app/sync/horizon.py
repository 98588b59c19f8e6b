"""The horizon: how old a cursor may be, which is as old as a tombstone may be."""

from typing import Any, Final

from app.apps.registry import app_registry
from app.errors import CursorExpired
from app.sync.cursor import ANEW, Cursor
from models.app_data_changes import Source
from models.app_usage import AppUsage
from models.base import now

TOMBSTONE_DAYS: Final = 30
DAY: Final = 24 * 60 * 60
_ALWAYS_GOOD: Final = DAY // 2
"""No app forgets a tombstone within a day, so of a younger cursor nothing needs to be asked."""


async def check_age(scope: Any, source: Source, cursor: Cursor) -> None:
    """See that no tombstone is missing of what has changed since.

    Raises:
        CursorExpired: one may be.
    """
    since = cursor.at or cursor.ends
    if since is None or (age := now().timestamp() - since.time) < _ALWAYS_GOOD:
        return
    days = (await app_registry(scope).settings_of(source.app_id)).tombstone_days
    horizon = await AppUsage.find_horizon(source.user_id, source.app_id)
    if age > days * DAY or (horizon is not None and since < horizon):
        raise CursorExpired(
            f"the cursor is older than the tombstones that are kept, {days} days: {ANEW}"
        )
