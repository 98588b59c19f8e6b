"""Single events of many requests go in together, and each is answered by its own outcome."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect, OperationFailure

from app.analytics.ingest.inserts import Inserts, UserGone
from app.errors import Unavailable
from app.relations.leases import Leases
from models import Analytics, User
from models.analytics import AnalyticsContent
from models.base import Raw, now
from models.user import UserContent
from tests.cast import Cast

pytestmark = pytest.mark.usefixtures("database")
PATH = "/v1/analytics/events"


def row(name: str, message: str | None = None, user: ObjectId | None = None) -> Raw:
    content = AnalyticsContent(
        app_id="notes", event_name=name, event_category="custom", message_id=message
    )
    return Analytics.row(content, user, now())


@pytest.fixture
def inserts() -> Inserts:
    return Inserts(Leases(2), 5)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each command has."""
    sent: list[int] = []
    insert_each = Analytics.insert_each

    async def noted(rows: Sequence[Raw]) -> list[Exception | None]:
        sent.append(len(rows))
        return await insert_each(rows)

    monkeypatch.setattr(Analytics, "insert_each", noted)
    return sent


async def names() -> list[str]:
    return sorted([found["eventName"] async for found in Analytics.raw().find({})])


async def test_each_is_answered_by_its_own_outcome(inserts: Inserts, commands: list[int]) -> None:
    ann, bob = [await User.create_user(UserContent(name=name)) for name in ("Ann", "Bob")]
    nobody = ObjectId()
    assert ann.id and bob.id
    await inserts.insert_single(row("stored", "m1"), [])
    wanted: list[tuple[Raw, list[ObjectId]]] = [
        (row("of ann", "m2", ann.id), [ann.id]),
        (row("again", "m1"), []),
        (row("of nobody", "m3", nobody), [nobody]),
        (row("late") | {"receivedAt": now() - timedelta(seconds=6)}, []),
        (row("twice", "m4"), []),
        (row("twice", "m4"), []),
        (row("of bob", None, bob.id), [bob.id]),
    ]
    outcomes = await asyncio.gather(
        *(inserts.insert_single(*each) for each in wanted), return_exceptions=True
    )
    assert outcomes[:2] == [1, 0]
    assert isinstance(outcomes[2], UserGone)
    assert isinstance(outcomes[3], Unavailable)
    assert sorted(map(str, outcomes[4:6])) == ["0", "1"]
    assert outcomes[6] == 1
    assert await names() == ["of ann", "of bob", "stored", "twice"]
    assert len(commands) < len(wanted)


@pytest.mark.parametrize("error", [AutoReconnect("away"), OperationFailure("no")])
async def test_none_is_sent_again_where_it_is_not_known_what_is_stored(
    inserts: Inserts, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    sent: list[int] = []

    async def fails(_: Any, rows: Sequence[Raw], **__: Any) -> Any:
        sent.append(len(rows))
        raise error

    monkeypatch.setattr(AsyncCollection, "insert_many", fails)
    outcomes = await asyncio.gather(
        *(inserts.insert_single(row("x"), []) for _ in range(5)), return_exceptions=True
    )
    assert outcomes == [error] * 5
    assert sum(sent) == 5


async def test_requests_of_many_are_few_commands(cast: Cast, commands: list[int]) -> None:
    event = {"appId": "notes", "eventName": "n", "eventCategory": "custom"}
    posts = [cast.app_key.post(PATH, json=event | {"messageId": f"m{n % 20}"}) for n in range(40)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {200}
    told = [answer.json() for answer in answers]
    assert sum(each["accepted"] for each in told) == 20
    assert sum(each["duplicates"] for each in told) == 20
    assert len(await names()) == 20
    assert max(commands) > 1
