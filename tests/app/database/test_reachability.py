"""A running process says when its database goes and when it is back, once each, however many ask
meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pymongo.errors import PyMongoError

from app.database import connect
from app.settings import Settings
from app.web.observability import driver
from app.web.observability.driver import listeners_of
from scripts.mongod import start_mongod
from tests.harness import serve


class Said:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, line: str, **_: Any) -> None:
        self.lines.append(line)

    def warning(self, line: str, **_: Any) -> None:
        self.lines.append(line)


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


def is_up() -> float | None:
    return REGISTRY.get_sample_value("satchel_mongodb_up")


async def test_it_says_once_that_the_database_is_gone_and_once_that_it_is_back(
    base_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Said()
    monkeypatch.setattr(driver, "log", said)
    own = base_settings.model_copy(update={"request_timeout_ms": 300})
    first = await asyncio.to_thread(start_mongod, tmp_path, cache_gb=0.25)
    client = connect(own, first.uri, listeners=listeners_of(own))
    async with client:
        await client.admin.command("ping")
        await until(lambda: is_up() == 1)
        await asyncio.to_thread(first.stop)
        for _ in range(3):
            with pytest.raises(PyMongoError):
                await client.admin.command("ping")
        await until(lambda: said.lines)
        assert (said.lines, is_up()) == (["the database has gone"], 0)
        again = await asyncio.to_thread(start_mongod, tmp_path, cache_gb=0.25)
        assert again.uri == first.uri
        await until(lambda: len(said.lines) == 2)
        assert is_up() == 1
    await asyncio.to_thread(again.stop)
    assert said.lines == ["the database has gone", "the database is back"]


async def test_servers_and_workers_listen_so_and_make_spans_by_setting(
    base_settings: Settings,
) -> None:
    async with serve(base_settings) as api:
        kinds = [type(each).__name__ for each in api.app.state.listeners]
    assert "Reachability" in kinds and "CommandSpans" not in kinds
    traced = listeners_of(base_settings.model_copy(update={"trace_database": True}))
    assert [type(each).__name__ for each in traced][-1] == "CommandSpans"
