"""Single events of many requests go in together, and each is answered by its own outcome."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
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
from models.analytics import AnalyticsContent, DuplicateMessages
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


Insert = Callable[[Inserts, str], Coroutine[Any, Any, int]]


async def as_single(inserts: Inserts, message: str) -> int:
    return await inserts.insert_single(row(message, message), [])


async def as_batch(inserts: Inserts, message: str) -> int:
    """As a request does: what fails with its company is sent alone."""
    rows = [row(message, message)]
    try:
        return await inserts.insert_batch(rows, [])
    except DuplicateMessages:
        return await inserts.insert_alone(rows, [], look=True)


@asynccontextmanager
async def held_by_a_killed_process(message: str) -> AsyncIterator[None]:
    async with Analytics.raw().database.client.start_session() as session:
        await session.start_transaction()
        await Analytics.raw().insert_one(row(message, message), session=session)
        try:
            yield
        finally:
            await session.abort_transaction()


@pytest.mark.parametrize("insert", [as_single, as_batch])
async def test_others_go_before_one_whose_message_a_killed_transaction_holds(
    monkeypatch: pytest.MonkeyPatch, insert: Insert
) -> None:
    monkeypatch.setattr("app.analytics.ingest.inserts._COMPANY_SECONDS", 0.3)
    monkeypatch.setattr("app.analytics.ingest.inserts._IN_TIME", timedelta(minutes=1))
    inserts = Inserts(Leases(60), 60)
    async with held_by_a_killed_process("held"):
        wanted = ["a", "b", "held", "c", "d"]
        tasks = {name: asyncio.ensure_future(insert(inserts, name)) for name in wanted}
        held = tasks.pop("held")
        async with asyncio.timeout(30):
            assert await asyncio.gather(*tasks.values()) == [1] * 4
            assert await insert(inserts, "e") == 1
        assert not held.done()
    assert await held == 1
    assert await names() == ["a", "b", "c", "d", "e", "held"]


async def test_each_of_several_that_are_held_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.analytics.ingest.inserts._COMPANY_SECONDS", 0.3)
    monkeypatch.setattr("app.analytics.ingest.inserts._IN_TIME", timedelta(minutes=1))
    inserts = Inserts(Leases(60), 60)
    async with held_by_a_killed_process("h1"), held_by_a_killed_process("h2"):
        held = [asyncio.ensure_future(as_single(inserts, name)) for name in ("h1", "h2", "h2")]
        others = [as_single(inserts, name) for name in "abcd"]
        async with asyncio.timeout(30):
            assert await asyncio.gather(*others) == [1] * 4
    assert sorted(await asyncio.gather(*held)) == [0, 1, 1]
    assert await names() == ["a", "b", "c", "d", "h1", "h2"]


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
