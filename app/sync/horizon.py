"""The horizon: how old a cursor may be, which is as old as a tombstone may be."""

from typing import Final

from app.errors import CursorExpired
from app.sync.cursor import ANEW, Cursor
from models.base import now

TOMBSTONE_DAYS: Final = 30
DAY: Final = 24 * 60 * 60


def check_age(cursor: Cursor) -> None:
    """See that no tombstone is missing of what has changed since.

    Raises:
        CursorExpired: one may be.
    """
    since = cursor.at or cursor.ends
    if since is not None and since.time < now().timestamp() - TOMBSTONE_DAYS * DAY:
        raise CursorExpired(f"the cursor is older than {TOMBSTONE_DAYS} days, and tombstones are gone: {ANEW}")
