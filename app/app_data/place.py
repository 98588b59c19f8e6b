"""Where one value is, and by what it is read and written."""

from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from app.app_data.quotas import Rooms
from app.app_data.swaps import Swaps
from app.database.loader import Loader
from app.errors import Invalid
from app.relations.leases import Lease
from models.app import NAME_RULE, is_name
from models.base import Raw


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is, who asks for it, and the leave to do so while the user exists."""

    user_id: ObjectId
    app_id: str
    data_key: str
    by: str
    lease: Lease
    rooms: Rooms
    swaps: Swaps
    may_read: bool = True

    @property
    def key(self) -> tuple[ObjectId, str, str]:
        """User, app and key."""
        return self.user_id, self.app_id, self.data_key

    def check(self) -> None:
        """Raises Invalid where app id or key are not of the allowed characters, or too long."""
        for name, value in (("appId", self.app_id), ("dataKey", self.data_key)):
            if not is_name(value):
                raise Invalid.field(f"path:{name}", "malformed", f"{name} has {NAME_RULE}")


Values = Loader[tuple[ObjectId, str, str], Raw]
"""Loads values by user, app and key."""


def loader_of(scope: Any) -> Values:
    """The loader of the application that serves this request."""
    found: Values = scope["app"].state.values
    return found
