"""What is exported is read at the database's pace, whoever takes it slowly; and where it breaks
off, it says so."""

import asyncio
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator
from tempfile import TemporaryFile
from typing import Any

import pytest
from bson import ObjectId
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from app.people.export_routes import ndjson_of
from app.people.out import exporting, spool
from app.people.out.spool import spooled
from app.people.out.zipped import zip_of
from models.base import Raw
from tests.cast import Cast
from tests.harness import Api

PART = 100_000
PARTS = 100
WINDOW = "minSnapshotHistoryWindowInSeconds"


class Source:
    """Parts that no compression makes small, and whether they were all read."""

    def __init__(self, count: int = PARTS, failure: Exception | None = None) -> None:
        self.all = [os.urandom(PART) for _ in range(count)]
        self.read, self.failure = 0, failure
        self.done = asyncio.Event()

    async def parts(self) -> AsyncIterator[bytes]:
        for part in self.all:
            self.read += 1
            yield part
        if self.failure is not None:
            raise self.failure
        self.done.set()


async def test_who_takes_it_slowly_holds_up_nothing() -> None:
    source = Source()
    taken = spooled(source.parts(), 1 << 30)
    first = await anext(taken)
    await asyncio.wait_for(source.done.wait(), 60)  # nobody has taken more than one part
    assert first + b"".join([part async for part in taken]) == b"".join(source.all)


async def test_there_is_a_bound_to_what_is_read_ahead_and_it_comes_in_its_order() -> None:
    source = Source()
    taken = spooled(source.parts(), PART * 20)
    found = await anext(taken)
    reached = -1
    while reached != source.read:
        reached = source.read
        await asyncio.sleep(0.1)
    assert 20 <= reached < 50
    async for part in taken:
        found += part
        await asyncio.sleep(0)
    assert found == b"".join(source.all)


async def test_a_full_disk_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> Any:
        return TemporaryFile("rb", prefix="nothing can be written")

    monkeypatch.setattr(spool, "TemporaryFile", full)
    source = Source()
    found = b"".join([part async for part in spooled(source.parts(), 1 << 30)])
    assert found == b"".join(source.all)


async def test_what_goes_wrong_is_told_after_what_was_read() -> None:
    source, found = Source(30, TimeoutError("the snapshot is too old")), b""
    with pytest.raises(TimeoutError):
        async for part in spooled(source.parts(), 1 << 30):
            found += part
    assert found == b"".join(source.all)


async def test_whoever_goes_away_ends_the_reading() -> None:
    source = Source(500)
    taken = spooled(source.parts(), 1 << 20)
    await anext(taken)
    await taken.aclose()  # type: ignore[attr-defined]
    read = source.read
    await asyncio.sleep(0.05)
    assert source.read == read < 100


@pytest.fixture
async def short_history(client: AsyncMongoClient[Raw]) -> AsyncIterator[None]:
    """A MongoDB that shows no moment but the last second's."""
    before = await client.admin.command("getParameter", 1, **{WINDOW: 1})
    await client.admin.command("setParameter", 1, **{WINDOW: 0})
    yield
    await client.admin.command("setParameter", 1, **{WINDOW: before[WINDOW]})


async def export_of(cast: Cast, api: Api) -> exporting.Export:
    """The owner's, with more values than one batch of the database has."""
    for page in range(3):
        writes = [{"dataKey": f"k{page}-{key}", "value": "x" * 100} for key in range(100)]
        await cast.owner.post("/v1/users/me/apps/notes/batch", json={"writes": writes})
    export = exporting.Export(api.app.state.settings, ObjectId(cast.owner.id))
    await export.open("test")
    return export


async def let_it_grow_old(cast: Cast, api: Api, client: AsyncMongoClient[Raw]) -> None:
    """Until the moment from which an export began is shown no more."""
    rows = client[api.app.state.settings.database]["users"]
    async with client.start_session(snapshot=True) as session:
        await rows.find_one({}, session=session)
        for tick in range(600):
            await cast.owner.put("/v1/users/me/apps/notes/data/later", json=tick)
            try:
                await rows.find_one({}, session=session)
            except OperationFailure:
                return
            await asyncio.sleep(0.1)
    raise AssertionError("the moment is shown for ever")


@pytest.mark.usefixtures("short_history")
async def test_a_slow_reader_gets_an_export_whole_though_its_moment_is_long_gone(
    cast: Cast, api: Api, client: AsyncMongoClient[Raw]
) -> None:
    export = await export_of(cast, api)
    read = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        async for part in ndjson_of(export):
            yield part
        read.set()

    taken = spooled(parts(), 1 << 30)
    found = await anext(taken)
    await asyncio.wait_for(read.wait(), 60)
    await let_it_grow_old(cast, api, client)
    found += b"".join([part async for part in taken])
    lines = [json.loads(line) for line in found.splitlines()]
    assert lines[-1]["document"]["documents"]["appdata"] == 300
    assert [line["kind"] for line in lines].count("appdata") == 300


@pytest.mark.usefixtures("short_history")
async def test_an_export_that_is_read_for_too_long_says_that_it_is_incomplete(
    cast: Cast, api: Api, client: AsyncMongoClient[Raw]
) -> None:
    for is_zip in (False, True):
        export, found = await export_of(cast, api), b""
        lines = export.lines()

        async def slow(lines: AsyncIterator[exporting.Line] = lines) -> Any:
            async for kind, document in lines:
                yield kind, document
                if kind == "profiles":
                    await let_it_grow_old(cast, api, client)

        with pytest.raises(OperationFailure):
            if is_zip:
                async for part in zip_of(slow()):
                    found += part
            else:
                async for kind, document in slow():
                    found += json.dumps([kind, document], default=str).encode() + b"\n"
        if is_zip:
            with zipfile.ZipFile(io.BytesIO(found)) as archive:
                assert archive.testzip() is None
                told = json.loads(archive.read("INCOMPLETE.json"))
                assert "contents.json" not in archive.namelist()
                assert len(json.loads(archive.read("users.json"))) == 1
        else:
            kind, told = json.loads(found.splitlines()[-1])
            assert kind == "incomplete"
        assert told["reason"].startswith("it was read for longer than")
