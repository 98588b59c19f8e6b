"""Every operation of the collections of analytics, for test_explain."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from models import (
    IdentityJoin,
    KeyUsage,
    PeopleDay,
    QuarantinedEvent,
    RollupState,
    VisitSession,
)
from models.base import now

Operation = Callable[[], Awaitable[Any]]
ME = ObjectId()
DAY = datetime(2026, 1, 1, tzinfo=UTC)


async def quarantine() -> None:
    event = {
        "appId": "app1",
        "userId": ME,
        "pointer": "/x",
        "code": "unknown",
        "detail": "d",
        "sentBy": "key:x",
    }
    times = {"receivedAt": now(), "expiresAt": now() + timedelta(days=1)}
    await QuarantinedEvent.add_all([{"_id": "one", **event, **times}])


async def make_digest_key() -> None:
    made = await RollupState.make_digest_key(None)
    assert await RollupState.make_digest_key(None) == made


async def move() -> None:
    await RollupState.ensure()
    state = await RollupState.read()
    assert await RollupState.move(state, now(), state.next_number, None)


ANALYTICS_OPERATIONS: dict[str, list[Operation]] = {
    "IdentityJoin.page": [
        lambda: IdentityJoin.page("app1", "aside", 10),
        lambda: IdentityJoin.page("app1", "joined", 10, "app1/a:1"),
    ],
    "KeyUsage.add_events": [lambda: KeyUsage.add_events(ME, now().date(), 1)],
    "PeopleDay.stamps": [
        lambda: PeopleDay.stamps(DAY, now(), {"scope": "*", "level": 3, "appId": "app1"}),
        lambda: PeopleDay.stamps(DAY, now(), {"scope": {"$in": ["*", "c:error"]}, "level": 3}),
    ],
    "QuarantinedEvent.add_all": [quarantine],
    "QuarantinedEvent.newest": [
        lambda: QuarantinedEvent.newest(None, 10),
        lambda: QuarantinedEvent.newest("app1", 10),
        lambda: QuarantinedEvent.newest("app1", 10, (now(), "one")),
    ],
    "RollupState.make_digest_key": [make_digest_key],
    "RollupState.move": [move],
    "Stored.fetch": [lambda: VisitSession.fetch(["a", "b"])],
}
