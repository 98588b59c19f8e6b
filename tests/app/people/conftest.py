"""Lines, and who sends them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from app.database import bind
from app.settings import Settings
from models.base import Raw
from tests.harness import Api, Caller

Send = Callable[..., Awaitable[list[dict[str, Any]]]]


def ndjson(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture
async def importer(api: Api) -> Caller:
    """A key that may import, and nothing else."""
    return await api.key("users:import")


@pytest.fixture
def send(importer: Caller) -> Send:
    """Sends lines, and gives what became of each."""

    async def send(*lines: Any, by: Caller = importer, **query: Any) -> list[dict[str, Any]]:
        answer = await by.post("/v1/users/import", content=ndjson(*lines), params=query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.text.splitlines()]

    return send


@pytest.fixture
def off_loop(base_settings: Settings, client: AsyncMongoClient[Raw]) -> Any:
    """Calls what has a loop of its own in a thread, and binds the documents to this one again."""

    async def call(function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(function, *arguments)
        finally:
            await bind(client, base_settings)

    return call
