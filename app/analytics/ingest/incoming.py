"""Incoming events: checked one by one, told apart from those that cannot be counted, made into
rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from bson import ObjectId
from pydantic import TypeAdapter, ValidationError

from app.analytics.ingest.ids import EventIds
from app.analytics.ingest.quarantine import Bad
from app.web.validation.errors import validation_problem
from models.analytics import Analytics, AnalyticsContent
from models.base import Raw
from models.person import person_key


@dataclass(slots=True)
class Incoming:
    """An acceptable event on its way in.

    Attributes:
        content: the event.
        sent: what was sent, for the quarantine.
        original: the client's own time, where its clock was corrected.
        user: whose it is, once that is known.
        item: what it was made of, where it came by another API.
        is_refused: it was acceptable, but is set aside.
    """

    content: AnalyticsContent
    sent: Any
    original: datetime | None = None
    user: ObjectId | None = None
    item: Any = None
    is_refused: bool = False

    @property
    def message(self) -> tuple[str, str]:
        """The app and the message id, an empty one where it has none."""
        return self.content.app_id, self.content.message_id or ""

    @property
    def key(self) -> str | None:
        """By which key the person is known; of one who is ours, none that an erasure notes."""
        external = None if self.user is not None else self.content.user_id
        return person_key(
            {
                "appId": self.content.app_id,
                "userId": self.user,
                "externalId": external,
                "anonymousId": self.content.anonymous_id,
            }
        )

    @property
    def pointer(self) -> str:
        """The field that names the person."""
        return "/anonymousId" if self.content.user_id is None else "/userId"

    def refused(self, pointer: str, code: str, detail: str) -> Bad:
        """The event as one that is to be set aside, and why."""
        self.is_refused = True
        return Bad(self.sent, pointer, code, detail, self.content.app_id)

    def row(self, received: datetime, row_id: ObjectId) -> Raw:
        """The event as it is stored."""
        row = Analytics.row(self.content, self.user, received, row_id)
        if self.original is not None:
            row["originalTimestamp"] = self.original
        return row


def checked(
    events: Sequence[Any], kind: type[AnalyticsContent] = AnalyticsContent
) -> list[Incoming | Bad]:
    """Each event, acceptable as a kind of content or not, then with its first complaint."""
    try:
        contents = _many(kind).validate_python(events)
    except ValidationError:
        return [_checked(event, kind) for event in events]
    return [Incoming(content, sent) for content, sent in zip(contents, events, strict=True)]


@cache
def _many(kind: type[AnalyticsContent]) -> TypeAdapter[list[AnalyticsContent]]:
    return TypeAdapter(list[kind])  # type: ignore[valid-type]


def _checked(event: Any, kind: type[AnalyticsContent]) -> Incoming | Bad:
    try:
        return Incoming(kind.model_validate(event), event)
    except ValidationError as error:
        first = validation_problem(error.errors(), "").errors[0]
        return Bad(event, first["pointer"], first["code"], first["detail"])


def split(found: Sequence[Incoming | Bad]) -> tuple[list[Incoming], list[Bad]]:
    """Those events that are acceptable, and those that are not."""
    good = [each for each in found if isinstance(each, Incoming)]
    return good, [each for each in found if isinstance(each, Bad)]


def rows_of(good: list[Incoming], received: datetime, ids: EventIds) -> list[Raw]:
    """The rows of a request; their `_id`s ascend in the order in which the events were sent."""
    ascending = ids.ascending(len(good))
    return [event.row(received, row_id) for event, row_id in zip(good, ascending, strict=True)]


def first_of_each(rows: list[Raw]) -> list[Raw]:
    """The rows, of those with one `messageId` of one app the first."""
    seen: dict[Any, Raw] = {}
    for row in rows:
        seen.setdefault((row["appId"], row["messageId"]) if "messageId" in row else row["_id"], row)
    return list(seen.values())
