"""Batches of many requests go in by one transaction, and each is whole and answered for itself."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, PyMongoError

from app.analytics.ingest.inserts import Inserts, UserGone
from app.errors import Unavailable
from app.relations.leases import Leases
from models import Analytics, User
from models.analytics import AnalyticsContent, DuplicateMessages
from models.base import Raw, now
from models.user import UserContent
from tests.cast import Cast

pytestmark = pytest.mark.usefixtures("database")
PATH = "/v1/analytics/events"


def batch(name: str, *messages: str, user: ObjectId | None = None) -> list[Raw]:
    made = [
        AnalyticsContent(
            app_id="notes", event_name=name, event_category="custom", message_id=message
        )
        for message in messages
    ]
    return [Analytics.row(content, user, now()) for content in made]


@pytest.fixture
def inserts() -> Inserts:
    return Inserts(Leases(2), 5)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each transaction puts in."""
    found: list[int] = []
    insert_rows = Analytics.insert_rows

    async def noted(rows: Sequence[Raw], **options: Any) -> None:
        found.append(len(rows))
        await insert_rows(rows, **options)

    monkeypatch.setattr(Analytics, "insert_rows", noted)
    return found


async def names() -> list[str]:
    return sorted([found["eventName"] async for found in Analytics.raw().find({})])


async def test_each_is_stored_whole_or_not_at_all(inserts: Inserts, sent: list[int]) -> None:
    ann = await User.create_user(UserContent(name="Ann"))
    nobody = ObjectId()
    assert ann.id is not None
    late = [row | {"receivedAt": now() - timedelta(seconds=6)} for row in batch("late", "l1", "l2")]
    outcomes = await asyncio.gather(
        inserts.insert_batch(batch("a", "a1", "a2", user=ann.id), [ann.id]),
        inserts.insert_batch(batch("b", "b1", "b2", user=nobody), [nobody, ann.id]),
        inserts.insert_batch(late, []),
        inserts.insert_batch(batch("c", "c1", "c2", "c3"), []),
        return_exceptions=True,
    )
    assert outcomes[0::3] == [2, 3]
    assert isinstance(outcomes[1], UserGone)
    assert isinstance(outcomes[2], Unavailable)
    assert await names() == ["a", "a", "c", "c", "c"]
    assert sent == [5]


async def test_one_that_is_stored_already_undoes_its_company_and_none_is_left_half(
    inserts: Inserts, sent: list[int]
) -> None:
    await inserts.insert_batch(batch("first", "m1", "m2"), [])
    outcomes = await asyncio.gather(
        inserts.insert_batch(batch("a", "a1", "a2"), []),
        inserts.insert_batch(batch("b", "m2", "b2"), []),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [DuplicateMessages] * 2
    assert await names() == ["first"] * 2
    assert sent == [2, 4]
    assert await inserts.insert_alone(batch("b", "m2", "b2"), [], look=True) == 1
    assert await names() == ["b", "first", "first"]


async def test_what_a_transaction_fails_by_is_told_to_all_of_it(
    inserts: Inserts, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault: PyMongoError = AutoReconnect("away")

    async def fails(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(Analytics, "insert_rows", fails)
    outcomes = await asyncio.gather(
        *(inserts.insert_batch(batch(name, f"{name}1"), []) for name in "abc"),
        return_exceptions=True,
    )
    assert outcomes == [fault] * 3
    assert await names() == []


async def test_a_transaction_has_a_bounded_number_of_events(
    inserts: Inserts, sent: list[int]
) -> None:
    wanted = [batch("n", *(f"{number}-{n}" for n in range(150))) for number in range(6)]
    outcomes = await asyncio.gather(*(inserts.insert_batch(rows, []) for rows in wanted))
    assert outcomes == [150] * 6
    assert max(sent) == 300


async def test_requests_that_repeat_each_other_store_every_event_once(
    cast: Cast, sent: list[int]
) -> None:
    """Forty batches of ten, each sent twice, all at once."""

    def events(number: int) -> list[dict[str, Any]]:
        event = {"appId": "notes", "eventName": f"n{number}", "eventCategory": "custom"}
        return [event | {"messageId": f"{number}-{place}"} for place in range(10)]

    posts = [cast.app_key.post(PATH, json=events(number % 40)) for number in range(80)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {200}
    told = [answer.json() for answer in answers]
    assert sum(each["accepted"] for each in told) == 400
    assert sum(each["duplicates"] for each in told) == 400
    assert len(await names()) == 400
    assert max(sent) > 10
