"""Sessions: when each began and ended, as far as its events are rolled up."""

from pydantic import Field

from models.app import AppId
from models.base import Stored, Timestamp


class VisitSession(Stored):
    """One session of an app. `_id` is `<app>/<session id>`. It goes when its last raw event
    does."""

    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId
    start: Timestamp
    end: Timestamp
    events: int

    class Settings:
        name = "analyticssessions"
