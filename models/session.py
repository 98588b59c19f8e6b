"""Sessions: when each began and ended, as far as its events are rolled up."""

from collections.abc import Iterable

from pydantic import Field

from models.app import AppId
from models.base import Raw, Session, Stored, Timestamp


class VisitSession(Stored):
    """One session of an app. `_id` is `<app>/<session id>`. It goes when its last raw event does."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId
    start: Timestamp
    end: Timestamp
    events: int

    class Settings:
        name = "analyticssessions"

    @classmethod
    async def fetch(cls, ids: Iterable[str], session: Session = None) -> dict[str, Raw]:
        """Sessions by id."""
        found: dict[str, Raw] = {}
        wanted = list(ids)
        for start in range(0, len(wanted), 5000):
            where: Raw = {"_id": {"$in": wanted[start : start + 5000]}}
            found |= {row["_id"]: row async for row in cls.raw().find(where, session=session)}
        return found
