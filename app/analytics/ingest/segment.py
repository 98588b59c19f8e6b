"""Segment's HTTP API in our terms: each item of a batch becomes an event."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import TypeAdapter

from app.analytics.ingest.incoming import Incoming, checked, split
from app.analytics.ingest.quarantine import Bad
from models.analytics import SegmentContent
from models.base import to_milliseconds
from models.nobody import somebody

KINDS: Final = ("track", "identify", "page", "screen", "group", "alias")
_CATEGORIES: Final = frozenset({"engagement", "conversion", "error", "custom"})
_TIME: Final = TypeAdapter(datetime)
_TEN_DIGITS: Final = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
"""From here on seconds since 1970 have ten digits, and milliseconds thirteen."""
_LONGEST_ID: Final = 256
MAX_ITEMS: Final = 2500
"""As many as Segment takes; a body has a MiB here, and 500 KB there."""

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Identity:
    """What an item says of who is who: a key's former id of a person, and the present one."""

    app_id: str
    anonymous_id: str | None
    previous_id: str | None
    user_id: str
    traits: Item


def events_of(
    items: list[Any], app_id: str, sent_at: Any, received: datetime
) -> tuple[list[Incoming], list[Bad]]:
    """The items of a batch as events.

    Args:
        items: as the client sent them.
        app_id: the app of its write key.
        sent_at: the batch's `sentAt`, by the client's clock.
        received: when it came in.
    """
    sent = _moment(sent_at)
    made: list[tuple[Item, Any, datetime | None]] = []
    bad: list[Bad] = []
    for item in items:
        try:
            body, original = _event(item, app_id, sent, received)
        except ValueError as error:
            bad.append(Bad(item, "/type", "malformed", str(error), app_id))
            continue
        made.append((body, item, original))
    found = checked([body for body, _, _ in made], SegmentContent)
    for event, (_, item, original) in zip(found, made, strict=True):
        if isinstance(event, Incoming):
            event.item, event.original = item, original
    good, refused = split(found)
    return good, bad + refused


def identities_of(good: list[Incoming], app_id: str) -> Iterator[Identity]:
    """What accepted `identify` and `alias` items say; ids that are no event's ids are left out.

    Args:
        good: the events of a batch that seemed acceptable; some may be set aside by now.
        app_id: the app of its write key.
    """
    for event in good:
        item = event.item
        if event.is_refused or item.get("type") not in ("identify", "alias"):
            continue
        user_id = _known_id(item.get("userId"))
        if user_id is None:
            continue
        alias = item["type"] == "alias"
        traits = item.get("traits") or _inner(item, "context").get("traits")
        yield Identity(
            app_id,
            None if alias else _known_id(item.get("anonymousId")),
            _known_id(item.get("previousId")) if alias else None,
            user_id,
            traits if isinstance(traits, dict) and not alias else {},
        )


def _event(
    item: Any, app_id: str, sent: datetime | None, received: datetime
) -> tuple[Item, datetime | None]:
    if not isinstance(item, dict):
        raise ValueError("an item is an object")
    kind = item.get("type")
    if kind not in KINDS:
        raise ValueError(f"type is one of {', '.join(KINDS)}")
    name, category, data = _TOLD[kind](item)
    original = _moment(item.get("timestamp") or item.get("originalTimestamp"))
    moment = _corrected(original, sent, received)
    body: Item = {"appId": app_id, "eventName": name, "eventCategory": category, "eventData": data}
    told = _ids(item) | {"timestamp": moment}
    body |= {field: value for field, value in told.items() if value is not None}
    return body, original if original != moment else None


def _ids(item: Item) -> Item:
    """Whose event it is, and in which session; None where it does not say."""
    ids = {name: _id(item.get(name)) for name in ("userId", "anonymousId", "messageId")}
    return {**ids, "sessionId": _id(_inner(item, "context").get("sessionId"))}


def _corrected(
    original: datetime | None, sent: datetime | None, received: datetime
) -> datetime | None:
    """When it happened by our clock: as long before the request came in as it was, by the client's,
    before `sentAt`."""
    if original is None or sent is None:
        return original
    try:
        return to_milliseconds(received - (sent - original))
    except OverflowError:
        return original


def _track(item: Item) -> tuple[Any, str, Item]:
    properties = _inner(item, "properties")
    category = properties.get("category")
    known = isinstance(category, str) and category in _CATEGORIES
    return item.get("event"), str(category) if known else "custom", properties


def _view(before: str, after: str, plain: str) -> Callable[[Item], tuple[Any, str, Item]]:
    def told(item: Item) -> tuple[Any, str, Item]:
        name = item.get("name")
        data = dict(_inner(item, "properties"))
        for field in ("name", "category"):
            if item.get(field) is not None:
                data.setdefault(field, item[field])
        return f"{before} {name} {after}" if name else plain, "engagement", data

    return told


def _identify(item: Item) -> tuple[Any, str, Item]:
    return "identify", "custom", _inner(item, "traits") or _inner(_inner(item, "context"), "traits")


def _group(item: Item) -> tuple[Any, str, Item]:
    return "group", "custom", {"groupId": item.get("groupId"), "traits": _inner(item, "traits")}


def _alias(item: Item) -> tuple[Any, str, Item]:
    return "alias", "custom", {"previousId": item.get("previousId")}


_TOLD: Final[dict[str, Callable[[Item], tuple[Any, str, Item]]]] = {
    "track": _track,
    "page": _view("Viewed", "Page", "Loaded a Page"),
    "screen": _view("Viewed", "Screen", "Loaded a Screen"),
    "identify": _identify,
    "group": _group,
    "alias": _alias,
}
"""Item type -> its event's name, category and data. Pages and screens are named as Segment's own
libraries do it."""


def _inner(item: Item, name: str) -> Item:
    found = item.get(name)
    return found if isinstance(found, dict) else {}


def _id(value: Any) -> str | None:
    """An id as text; clients send numbers, too. None for none."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _known_id(value: Any) -> str | None:
    """An id that an event may have, and that is somebody's; None for none."""
    known = somebody(_id(value))
    return known if known is not None and len(known) <= _LONGEST_ID else None


def _moment(value: Any) -> datetime | None:
    """A time that a client told: RFC 3339, or seconds or milliseconds since 1970 as a number or as
    text.

    None where it told none, or something else: a number of fewer digits is no time (`20261107`).
    """
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        moment = to_milliseconds(_TIME.validate_python(value))
    except ValueError:
        return None
    if moment < _TEN_DIGITS and not (isinstance(value, str) and "-" in value[1:]):
        return None
    return moment
