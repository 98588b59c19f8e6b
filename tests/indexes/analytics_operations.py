"""Every operation of the collections of analytics, for test_explain."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from app.database import transaction
from models import (
    Analytics,
    ArchivedDay,
    ErasedMessage,
    Erasure,
    ExternalId,
    IdentityJoin,
    KeyUsage,
    PeopleDay,
    Person,
    PersonMerge,
    PropertyDay,
    PropertyValue,
    QuarantinedEvent,
    RollupState,
    Seal,
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
    "Analytics.first_received": [lambda: Analytics.first_received(DAY)],
    "ExternalId.users_of": [lambda: ExternalId.users_of("app1", ["crm-7", "crm-8"])],
    "IdentityJoin.page": [
        lambda: IdentityJoin.page("app1", "aside", 10),
        lambda: IdentityJoin.page("app1", "joined", 10, "app1/a:1"),
    ],
    "KeyUsage.add_events": [lambda: KeyUsage.add_events(ME, now().date(), 1)],
    "PeopleDay.stamps": [
        lambda: PeopleDay.stamps(DAY, now(), {"scope": "*", "level": 3, "appId": "app1"}),
        lambda: PeopleDay.stamps(DAY, now(), {"scope": {"$in": ["*", "c:error"]}, "level": 3}),
    ],
    "Person.find_by_keys": [lambda: Person.find_by_keys(["u:1", "x:app1:7"])],
    "ErasedMessage.note": [lambda: ErasedMessage.note(["1f", "2e"])],
    "ErasedMessage.there_are_any": [ErasedMessage.there_are_any],
    "ErasedMessage.known": [lambda: ErasedMessage.known(["1f", "2e"])],
    "Erasure.erased_keys": [lambda: Erasure.erased_keys(["app1/a:1", "app1/e:2"])],
    "Person.numbers_of": [lambda: Person.numbers_of([ME])],
    "PersonMerge.pending": [PersonMerge.pending],
    "PropertyDay.properties": [PropertyDay.properties],
    "PropertyValue.most_frequent": [lambda: PropertyValue.most_frequent("group-1", 10)],
    "QuarantinedEvent.add_all": [quarantine],
    "QuarantinedEvent.newest": [
        lambda: QuarantinedEvent.newest(None, 10),
        lambda: QuarantinedEvent.newest("app1", 10),
        lambda: QuarantinedEvent.newest("app1", 10, (now(), "one")),
    ],
    "RollupState.ensure": [RollupState.ensure],
    "RollupState.make_digest_key": [make_digest_key],
    "RollupState.move": [move],
    "RollupState.read": [RollupState.read],
    "RollupState.take_number": [lambda: transaction(RollupState.take_number)],
    "RollupState.touch": [lambda: transaction(RollupState.touch)],
    "Seal.by_app": [Seal.by_app],
    "ArchivedDay.find_held": [ArchivedDay.find_held],
    "ArchivedDay.find_unfinished": [ArchivedDay.find_unfinished],
    "Seal.all_readable": [Seal.all_readable],
    "Seal.touch": [lambda: transaction(lambda session: Seal.touch("notes", session))],
    "Seal.advance": [lambda: Seal.advance("notes", now(), now())],
    "Stored.fetch": [lambda: VisitSession.fetch(["a", "b"])],
}
