"""The feed: whoever listens is poked by what anybody writes, whatever happens to the change
stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from bson import ObjectId
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect

from app.database import bind, connect
from app.jobs.backoff import Backoff
from app.settings import Settings
from app.sync.hub import Hub
from app.sync.live import feed as module
from app.sync.live.feed import GAPS, RESTARTS, Feed
from models.app_data import AppData
from models.app_data_expiry import expire_due
from models.base import Raw, now
from scripts.mongod import start_mongod
from tests.app.faults import Cable, failing
from tests.factories.damage import DAMAGE, damaged

ANNA, BEN = ObjectId(), ObjectId()
SOON: Final = 30
HISTORY_LOST, NOT_PRIMARY = 286, 10107


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AWAIT_SECONDS", 0.2)
    monkeypatch.setattr(module, "_REOPEN", Backoff(0.01, 5.0))


async def put(user_id: ObjectId = ANNA, app_id: str = "notes", key: str = "k") -> None:
    await AppData.put(user_id, app_id, key, 1, size=1, by="user:x")


async def woken(event: asyncio.Event) -> None:
    async with asyncio.timeout(SOON):
        await event.wait()
    event.clear()


@asynccontextmanager
async def followed(settings: Settings, hub: Hub) -> AsyncIterator[Feed]:
    feed = Feed(settings, hub)
    running = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        running.cancel()
        await asyncio.wait({running})


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[tuple[Feed, asyncio.Event, asyncio.Event]]:
    """An open feed with two who listen: Anna at her notes, and Ben at his."""
    hub = Hub()
    with hub.listen(ANNA, "notes") as anna, hub.listen(BEN, "notes") as ben:
        async with followed(settings, hub) as feed:
            await woken(anna)  # of what came before the stream was open
            await woken(ben)
            yield feed, anna, ben


async def expire() -> None:
    await AppData.raw().update_one(
        {"userId": ANNA}, {"$set": {"expiresAt": now() - timedelta(hours=1)}}
    )
    assert await expire_due(10) == 1


async def insert_many() -> None:
    row = {"userId": ANNA, "appId": "notes", "version": 1, "deleted": False, "value": 1}
    await AppData.raw().insert_many([{**row, "dataKey": f"many-{number}"} for number in range(3)])


async def within_a_transaction() -> None:
    async with (
        AppData.raw().database.client.start_session() as session,
        await session.start_transaction(),
    ):
        await AppData.put(ANNA, "notes", "other", 1, size=1, by="user:x", session=session)


async def delete() -> None:
    await AppData.delete(ANNA, "notes", "k", by="user:x")


@pytest.mark.parametrize("write", [put, delete, expire, insert_many, within_a_transaction])
async def test_every_kind_of_write_pokes_whose_it_is_and_nobody_else(
    database: Any, base_settings: Settings, write: Callable[[], Awaitable[None]]
) -> None:
    await put()
    async with listening(base_settings) as (_, anna, ben):
        await write()
        await woken(anna)
        await put(ANNA, "boats")  # another app of hers
        await put(BEN, "boats")
        await put(ObjectId(), "notes")
        await put(BEN, "notes", "last")
        await woken(ben)
        anna_again = anna.is_set()
    assert write in (insert_many, expire) or not anna_again


async def test_what_a_job_writes_beside_the_value_pokes_nobody(
    database: Any, base_settings: Settings
) -> None:
    await put()
    async with listening(base_settings) as (_, anna, ben):
        await AppData.raw().update_one({"userId": ANNA}, {"$set": {"queryKeys": {"q1": "x"}}})
        await put(BEN)
        await woken(ben)
        assert not anna.is_set()


async def test_nothing_is_open_while_nobody_listens(
    database: Any, base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINGER_SECONDS", 0)
    hub = Hub()
    async with followed(base_settings, hub) as feed:
        await feed.opened(0.1)
        assert not feed._is_open.is_set()
        for _ in range(2):
            with hub.listen(ANNA, "notes") as anna:
                await woken(anna)
                await put()
                await woken(anna)
            async with asyncio.timeout(SOON):
                while feed._is_open.is_set():
                    await asyncio.sleep(0.01)


async def test_the_position_is_no_earlier_than_what_was_poked(
    database: Any, base_settings: Settings
) -> None:
    async with listening(base_settings) as (feed, anna, _):
        for key in ("a", "b"):
            await put(key=key)
            await woken(anna)
            row = await AppData.raw().find_one({"dataKey": key})
            assert row is not None
            assert feed.position >= row["changedAt"]


async def test_a_stream_whose_history_is_lost_begins_anew_and_pokes_everybody(
    database: Any, base_settings: Settings, client: AsyncMongoClient[Raw]
) -> None:
    async with listening(base_settings) as (_, anna, ben):
        async with failing(client, "getMore", mode={"times": 1}, errorCode=HISTORY_LOST):
            await woken(anna)
            await woken(ben)
        await put()
        await woken(anna)


async def test_a_damaged_row_breaks_no_stream(database: Any, base_settings: Settings) -> None:
    row = {"userId": ANNA, "appId": "notes", "dataKey": "k", "version": 1, "value": 1}
    async with listening(base_settings) as (_, _anna, ben):
        before = RESTARTS._value.get()
        for kind, field in product(DAMAGE, ("userId", "appId")):
            if (bad := damaged(row, (field,), kind)) is not None:
                await AppData.raw().insert_one({**bad, "dataKey": f"{field} {kind}"})
        await put(BEN)
        await woken(ben)
        assert RESTARTS._value.get() == before


async def test_a_change_that_cannot_be_told_is_left_behind(
    database: Any, base_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(base_settings) as (feed, anna, ben):
        tell, met = feed._tell, list[Raw]()

        def odd(change: Raw) -> None:
            if not met:
                met.append(change)
                raise KeyError("amiss")
            tell(change)

        monkeypatch.setattr(feed, "_tell", odd)
        await put()
        await woken(ben)  # all are, by a stream that begins anew
        await woken(anna)
        await put()
        await woken(anna)


async def test_a_connection_that_is_lost_loses_nothing(
    database: Any, base_settings: Settings, mongodb_uri: str
) -> None:
    """What is written while there is none is told when there is one again, and nobody else is poked
    for it."""
    cable = Cable(mongodb_uri)
    uri = await cable.connect()
    async with listening(base_settings.model_copy(update={"mongodb_uri": SecretStr(uri)})) as (
        _,
        anna,
        ben,
    ):
        gaps = GAPS._value.get()
        await cable.cut()
        await put()
        await cable.connect(int(uri.split(":")[-1].split("/")[0]))
        await woken(anna)
        assert GAPS._value.get() == gaps
        assert not ben.is_set()
    await cable.cut()


async def until_elected(write: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(SOON):
        while True:
            with suppress(AutoReconnect):
                return await write()


async def test_an_election_loses_nothing(
    database: Any, base_settings: Settings, client: AsyncMongoClient[Raw]
) -> None:
    async with listening(base_settings) as (_, anna, _ben):
        async with failing(client, "getMore", mode={"times": 2}, errorCode=NOT_PRIMARY):
            await client.admin.command("replSetStepDown", 1, force=True)
            await until_elected(put)
            await woken(anna)
        await put()
        await woken(anna)


async def test_a_database_that_comes_back_is_followed_on(
    tmp_path: Path, base_settings: Settings
) -> None:
    with start_mongod(tmp_path, cache_gb=0.25) as first:
        own = base_settings.model_copy(update={"mongodb_uri": SecretStr(first.uri)})
        async with connect(own, first.uri, bounded=False) as client:
            await bind(client, own)
            await put()
            async with listening(own) as (_, anna, _ben):
                first.stop()
                with start_mongod(tmp_path, cache_gb=0.25) as second:
                    assert second.uri == first.uri
                    await put()
                    await woken(anna)


@pytest.fixture(autouse=True)
async def _bound(client: AsyncMongoClient[Raw], base_settings: Settings) -> AsyncIterator[None]:
    yield
    await bind(client, base_settings)
