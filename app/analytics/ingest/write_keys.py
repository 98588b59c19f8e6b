"""Limits of write keys. These are public, so each has a rate (per process) and a daily quota (for
the deployment)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bson import ObjectId
from cachetools import LRUCache

from app.errors import TooManyRequests
from app.identity.principal import Principal
from app.settings import Settings
from models.api_key import ApiKey
from models.clock import CLOCK
from models.key_usage import KeyUsage

_SYNC_SECONDS: Final = 1.0
_CACHED: Final = 10_000
_WRITE_ONLY: Final = frozenset({"events:write"})


def is_write_key(principal: Principal) -> bool:
    """Whether the caller is a key that can add events of one app and do nothing else."""
    return (
        principal.kind == "key" and principal.app_id is not None and principal.scopes == _WRITE_ONLY
    )


@dataclass(slots=True)
class _Meter:
    """What a process knows of one key: its bucket of tokens, and its events of the day."""

    per_second: int
    per_day: int
    tokens: float
    filled_at: float
    day: int
    used: int
    unsent: int = 0
    synced_at: float = 0.0


class WriteKeyLimits:
    """The meters of this process. The day's count is told to the database once a second, so a quota
    may be passed by what the processes take within a second."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._meters: LRUCache[ObjectId, _Meter] = LRUCache(_CACHED)

    async def take(self, principal: Principal, events: int) -> None:
        """Let a write key send this many events.

        Raises:
            TooManyRequests: its rate or its quota is used up; Retry-After says how long to wait.
        """
        if not is_write_key(principal) or events == 0:
            return
        moment = CLOCK.time()
        meter = self._meters.get(principal.id)
        if meter is None or meter.day != _day(moment) or moment - meter.synced_at > _SYNC_SECONDS:
            meter = await self._sync(principal.id, meter, moment)
        _take_tokens(meter, events, moment)
        if meter.used + events > meter.per_day:
            raise TooManyRequests(
                "the write key's quota of the day is used up", _until_tomorrow(moment)
            )
        meter.tokens -= events
        meter.used += events
        meter.unsent += events

    async def _sync(self, key_id: ObjectId, meter: _Meter | None, moment: float) -> _Meter:
        """Tell the database what this process took, and learn what all took together."""
        unsent, same_day = (meter.unsent, meter.day == _day(moment)) if meter else (0, False)
        if meter is not None:
            # those who come meanwhile go on with what is known
            meter.unsent, meter.synced_at = 0, moment
        day = datetime.fromtimestamp(moment, UTC).date()
        try:
            used = await KeyUsage.add_events(key_id, day, unsent if same_day else 0)
            rate, quota = await self._limits(key_id)
        except Exception:
            if meter is not None:
                meter.unsent += unsent
            raise
        if meter is None or not same_day:
            meter = self._meters[key_id] = _Meter(
                rate, quota, float(rate), moment, _day(moment), used
            )
        meter.per_second, meter.per_day = rate, quota
        meter.used, meter.synced_at = used + meter.unsent, moment
        return meter

    async def _limits(self, key_id: ObjectId) -> tuple[int, int]:
        """How many events a second, and a day, are taken of a key."""
        wanted = {"eventsPerSecond": 1, "eventsPerDay": 1}
        row = await ApiKey.raw().find_one({"_id": key_id}, wanted) or {}
        rate = row.get("eventsPerSecond") or self._settings.write_key_events_per_second
        return rate, row.get("eventsPerDay") or self._settings.write_key_events_per_day


def _take_tokens(meter: _Meter, events: int, moment: float) -> None:
    """Fill the bucket up to a second's worth; a request larger than that is let pass when the
    bucket is full."""
    meter.tokens = min(
        meter.per_second, meter.tokens + (moment - meter.filled_at) * meter.per_second
    )
    meter.filled_at = moment
    needed = min(events, meter.per_second)
    if meter.tokens < needed:
        raise TooManyRequests(
            "the write key's rate is used up",
            max(1, round((needed - meter.tokens) / meter.per_second)),
        )


def _day(moment: float) -> int:
    return int(moment // 86400)


def _until_tomorrow(moment: float) -> int:
    now = datetime.fromtimestamp(moment, UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, int((midnight - now).total_seconds()))
