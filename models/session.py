"""Sessions: when each began and ended, as far as its events are rolled up."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from models.app import AppId
from models.base import Timestamp
from models.checked import Check, Checked, is_count, is_text, is_time


class VisitSession(Checked):
    """One session of an app. `_id` is `<app>/<session id>`. It goes when its last raw event
    does."""

    CHECKS: ClassVar[Mapping[str, Check]] = {
        "appId": is_text,
        "start": is_time,
        "end": is_time,
        "events": is_count,
    }
    id: str = Field(alias="_id")  # type: ignore[assignment]
    app_id: AppId
    start: Timestamp
    end: Timestamp
    events: int

    class Settings:
        name = "analyticssessions"
