"""A person's raw events, page by page."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from app.errors import NotFound
from app.web.cursors import decode_cursor, encode_cursor
from models.analytics import Analytics, EventCategory
from models.aside import read_all
from models.base import Fields, Timestamp
from models.living import is_living
from models.user import User


class RawEvent(Fields):
    """An event as it is kept."""

    id: str
    app_id: str
    event_name: str
    event_category: EventCategory
    event_data: dict[str, Any]
    external_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    message_id: str | None = None
    timestamp: Timestamp
    received_at: Timestamp


async def event_page(
    user_id: ObjectId,
    where: Mapping[str, str],
    start: datetime | None,
    end: datetime | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[RawEvent], str | None]:
    """A page of the events of a person, the newest first, and the cursor of the next one.

    Raises:
        NotFound: there is no such user.
    """
    row = await User.raw().find_one({"_id": user_id}, {"accountId": 1})
    if row is None or not await is_living(User, row):
        raise NotFound("there is no such user")
    passed: Any = decode_cursor(cursor, datetime, int)
    found = await Analytics.page_of_user(user_id, where, start, end, limit + 1, passed)
    rows = found[:limit]
    following = None
    if len(found) > limit:
        moment = rows[-1]["timestamp"]
        count = sum(row["timestamp"] == moment for row in rows)
        if passed is not None and passed[0] == moment:
            count += passed[1]
        following = encode_cursor(moment, str(count))
    return [_view(each) for each in read_all(Analytics, rows)], following


def _view(event: Analytics) -> RawEvent:
    shown = event.model_dump(include=set(RawEvent.model_fields) - {"id"})
    name = event.long_event_name or event.event_name
    return RawEvent(**shown | {"id": str(event.id), "event_name": name})
