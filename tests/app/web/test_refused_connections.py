"""Connections whose requests were refused."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from app.web.admission import pauses as patience
from app.web.admission.pauses import PatientProtocol
from app.web.observability import REFUSED_HERE
from tests.factories.gates import Behind, gate
from tests.factories.lines import settle


async def _refusing(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses `/refused`, serves everything else."""
    if scope["path"] == "/refused":
        scope[REFUSED_HERE] = True
    status = 503 if REFUSED_HERE in scope else 200
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def server(unused_tcp_port: int) -> AsyncIterator[str]:
    """uvicorn with our connections, in this process."""
    options = {
        "http": PatientProtocol,
        "lifespan": "off",
        "log_level": "error",
        "port": unused_tcp_port,
    }
    running = uvicorn.Server(uvicorn.Config(_refusing, **options))  # type: ignore[arg-type]
    task = asyncio.create_task(running._serve())
    while not running.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{unused_tcp_port}"
    running.should_exit = running.force_exit = True
    await task


async def test_a_connection_that_was_refused_is_not_listened_to_for_a_while(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_SECONDS", (3600, 3600))
    one = httpx2.Limits(max_connections=1)
    async with httpx2.AsyncClient(limits=one) as hasty, httpx2.AsyncClient() as other:
        assert (await hasty.get(f"{server}/served")).status_code == 200
        assert (await hasty.get(f"{server}/refused")).status_code == 503
        with pytest.raises(httpx2.ReadTimeout):
            await hasty.get(f"{server}/served", timeout=0.2)
        assert (await other.get(f"{server}/served")).status_code == 200


async def test_after_that_it_is_served_as_before(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_SECONDS", (0.01, 0.02))
    async with httpx2.AsyncClient(limits=httpx2.Limits(max_connections=1)) as client:
        for path, status in (
            ("refused", 503),
            ("served", 200),
            ("refused", 503),
            ("refused", 503),
            ("served", 200),
        ):
            assert (await client.get(f"{server}/{path}")).status_code == status


class Weak(dict[str, Any]):
    """A scope that can be seen to be freed."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("waits", [False, True])
async def test_a_request_is_freed_when_it_is_over_and_not_when_cycles_are_searched_for(
    waits: bool,
) -> None:
    behind = Behind()
    behind.answer.set()
    door = gate(behind)
    scope = Weak({"type": "http", "method": "PUT", "path": "/x", "headers": []})
    freed = weakref.ref(scope)
    gc.disable()
    try:
        if waits:
            assert door.line.take()
        task = asyncio.create_task(door(scope, Parts(), _ignore))
        del scope
        await settle()
        assert door.line.waiting == waits
        if waits:
            door.line.leave()
        await task
        del task
        assert freed() is None
    finally:
        gc.enable()


class Parts:
    """A body of one part, and then a client that stays."""

    def __init__(self) -> None:
        self._asked = False

    async def __call__(self) -> Message:
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "http.request", "body": b"1", "more_body": False}


async def _ignore(_: Message) -> None:
    pass
