"""What a put of app data did."""

from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId

from models.app_data_updates import NEVER, Expiry
from models.base import Raw


class StaleVersion(Exception):
    """The stored value is not the one that the write was made for."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a put did, and by how much the app's data grew. `created` is true where there was no
    live value before."""

    created: bool
    version: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    id: ObjectId
    grown_keys: int = 0
    grown_bytes: int = 0


def written(
    before: Raw | None,
    moment: datetime,
    expires_at: datetime | Expiry | None,
    fresh: ObjectId,
    size: int,
    floor: int,
) -> Written:
    """What a put did, by the row before it, None where there was none."""
    live = before is not None and not before["deleted"] and before.get("expiresAt", NEVER) > moment
    kept = before.get("expiresAt") if before is not None else None
    return Written(
        created=not live,
        version=(floor if before is None else before["version"]) + 1,
        created_at=before["createdAt"] if before is not None and live else moment,
        updated_at=moment,
        expires_at=kept if isinstance(expires_at, Expiry) else expires_at,
        id=fresh if before is None else before["_id"],
        grown_keys=1 if before is None or before["deleted"] else 0,
        grown_bytes=size - (0 if before is None or before["deleted"] else before["bytes"]),
    )
