"""What a write of app data is asked to do besides: precondition, expiry, activity, and what to
answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from app.errors import Invalid, VersionRequired
from app.web.idempotency import Claim
from app.web.validation.spellings import integer
from models.app import AppContent
from models.app_data_updates import Expiry
from models.base import now
from models.precondition import Expected

LONGEST_TTL: Final = 10 * 366 * 24 * 60 * 60
_LONGEST_EVENT_TYPE: Final = 256


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The options of one write.

    Attributes:
        expected: the precondition.
        expires_at: when the value ends; None for never.
        activity: event type of an activity to record in the same transaction.
        claim: what the request claims by its Idempotency-Key; made in the write's transaction.
        app: the settings of the app whose value it is.
        prefer: `minimal` or `representation`, where the client said so (RFC 7240).
    """

    expected: Expected | None = None
    expires_at: datetime | None = None
    activity: str | None = None
    prefer: str | None = None
    claim: Claim | None = None
    app: AppContent = field(default_factory=AppContent)

    @property
    def needs_transaction(self) -> bool:
        """Whether something else is written besides the value."""
        return self.activity is not None or self.claim is not None

    @property
    def patch_expiry(self) -> datetime | Expiry:
        """What a patch does to the expiry: it keeps it, unless told a new one."""
        return self.expires_at or Expiry.KEEP

    def wants_value(self, *, default: bool) -> bool:
        """Whether the answer carries the value."""
        return default if self.prefer is None else self.prefer == "representation"


def write_options(
    app: AppContent,
    expected: Expected | None,
    query: Mapping[str, str],
    prefer: str | None,
    claim: Claim | None = None,
) -> WriteOptions:
    """The options that a request names.

    Raises:
        VersionRequired: the app takes no write without a precondition.
        Invalid: `ttl` or `activity` is malformed.
    """
    if app.require_version and (expected is None or expected.changed_before is not None):
        raise VersionRequired(
            "send If-Match with the version that you have, or If-None-Match: * to create"
        )
    if expected is None and not query and prefer is None and claim is None:
        return WriteOptions(app=app)
    activity = _activity(query.get("activity"))
    return WriteOptions(
        expected, _expiry(query.get("ttl")), activity, preference(prefer), claim, app
    )


def _expiry(ttl: str | None) -> datetime | None:
    if ttl is None:
        return None
    if (seconds := integer(ttl, 1, LONGEST_TTL)) is None:
        raise Invalid.field(
            "?ttl", "out_of_range", f"ttl is a number of seconds from 1 to {LONGEST_TTL}"
        )
    return now() + timedelta(seconds=seconds)


def _activity(event_type: str | None) -> str | None:
    if event_type is not None and not 1 <= len(event_type) <= _LONGEST_EVENT_TYPE:
        raise Invalid.field(
            "?activity", "out_of_range", f"an event type has 1 to {_LONGEST_EVENT_TYPE} characters"
        )
    return event_type


def preference(prefer: str | None) -> str | None:
    """What `Prefer` says of the answer: `minimal`, `representation`, or None (RFC 7240).

    Case does not matter, nor do parameters behind it.
    """
    for part in (prefer or "").lower().split(","):
        name, _, value = part.partition(";")[0].partition("=")
        if name.strip() == "return" and value.strip(' "') in ("minimal", "representation"):
            return value.strip(' "')
    return None
