"""The gate seen from a server: what it asks of those who wait, and what it does when they go
away."""

import asyncio
import gc
import io
import json
import sys
import weakref
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unavailable
from app.settings import Settings
from app.web import observability
from app.web.admission import pauses as patience
from app.web.admission.gate import Admission
from app.web.admission.pauses import PatientProtocol
from app.web.observability import REFUSED_HERE, Observed, configure_logging
from tests.app.web.test_line import settle


class Visitor:
    """One request as a server hands it on: its body comes in parts, `gone` is the end of its
    connection.

    Where it is `slow`, no part comes before `gone`.
    """

    def __init__(
        self,
        gate: ASGIApp,
        *parts: bytes,
        path: str = "/x",
        headers: dict[bytes, bytes] | None = None,
        slow: bool = False,
    ):
        self._slow = slow
        self._parts = list(parts or (b"",))
        self.asked = 0
        self.gone = asyncio.Event()
        self.sent: list[Message] = []
        self.scope = {
            "type": "http",
            "method": "PUT",
            "path": path,
            "headers": list((headers or {}).items()),
        }
        self.task = asyncio.create_task(gate(self.scope, self._receive, self._send))

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    async def _receive(self) -> Message:
        self.asked += 1
        if self._slow:
            await self.gone.wait()
        if self._parts:
            body = self._parts.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(self._parts)}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


class Behind:
    """The application behind the gate: reads each body, notes it, and answers when it is told
    to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answer = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def gate(behind: Behind, **changes: Any) -> Admission:
    settings = Settings(_env_file=None, **{"max_in_flight": 1, "wait_seconds": 3600, **changes})
    return Admission(behind, settings, lambda: True)


async def test_the_body_of_who_waits_is_handed_on_whole() -> None:
    behind = Behind()
    door = gate(behind)
    bodies = [[b"1"], [b"2"], [b"3a", b"3b", b"3c"], [b""]]
    visitors = [Visitor(door, *parts) for parts in bodies]
    await settle()
    assert behind.bodies == [b"1"]
    behind.answer.set()
    await asyncio.gather(*(visitor.task for visitor in visitors))
    assert sorted(behind.bodies) == sorted(b"".join(parts) for parts in bodies)
    assert door.line.free == 1


async def test_no_more_of_a_body_is_asked_for_than_its_first_part_while_it_waits() -> None:
    behind = Behind()
    door = gate(behind)
    Visitor(door, b"1")
    await settle()
    waits = Visitor(door, b"a", b"b", b"c", headers={b"transfer-encoding": b"chunked"})
    await settle()
    assert waits.asked == 1
    behind.answer.set()
    await waits.task
    assert behind.bodies == [b"1", b"abc"]


@pytest.mark.parametrize(
    "headers",
    [{b"content-length": b"100000"}, {b"content-length": b"3", b"expect": b"100-continue"}],
    ids=["large", "expect"],
)
async def test_a_body_that_is_not_there_is_not_asked_for(headers: dict[bytes, bytes]) -> None:
    behind = Behind()
    door = gate(behind)
    Visitor(door, b"1")
    await settle()
    waits = Visitor(door, b"abc", headers=headers)
    await settle()
    assert (waits.asked, door.line.waiting) == (0, 1)
    behind.answer.set()
    await waits.task
    assert behind.bodies == [b"1", b"abc"]


async def test_whoever_hangs_up_leaves_the_line_and_is_not_served() -> None:
    behind = Behind()
    door = gate(behind, max_waiting=1)
    Visitor(door, b"1")
    await settle()
    away = Visitor(door, b"away")
    await settle()
    assert door.line.waiting == 1
    away.gone.set()
    await away.task
    assert (door.line.waiting, away.sent) == (0, [])
    waits = Visitor(door, b"2")
    await settle()
    behind.answer.set()
    await waits.task
    assert (waits.status, behind.bodies) == (200, [b"1", b"2"])


async def test_bodies_count_for_the_memory_of_the_line() -> None:
    behind = Behind()
    door = gate(behind, max_waiting_mib=1)
    Visitor(door, b"1")
    await settle()
    many = [Visitor(door, b"x", headers={b"content-length": b"65536"}) for _ in range(13)]
    await settle()
    assert [visitor.status for visitor in many] == [None] * 12 + [503]  # 12 times 80 KiB
    small = [Visitor(door) for _ in range(5)]
    await settle()
    assert [visitor.status for visitor in small] == [None] * 4 + [503]  # and 4 times 16
    behind.answer.set()
    await asyncio.gather(*(visitor.task for visitor in [*many, *small]))


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_probes_do_not_wait(path: str) -> None:
    behind = Behind()
    door = gate(behind, max_waiting=0)
    visitors = [Visitor(door, b"1"), *(Visitor(door, path.encode(), path=path) for _ in range(3))]
    await settle()
    assert behind.bodies == [b"1", *[path.encode()] * 3]
    behind.answer.set()
    await asyncio.gather(*(visitor.task for visitor in visitors))
    assert {visitor.status for visitor in visitors} == {200}


async def test_a_refusal_is_marked_for_the_server() -> None:
    behind = Behind()
    door = gate(behind, max_waiting=0)
    served, refused = Visitor(door), Visitor(door)
    await refused.task
    assert (refused.status, REFUSED_HERE in refused.scope, REFUSED_HERE in served.scope) == (
        503,
        True,
        False,
    )
    behind.answer.set()
    await served.task


@pytest.mark.parametrize(
    "bound", [{"max_bodies_under_way": 1}, {"wait_seconds": 0.02}], ids=["bodies", "time"]
)
async def test_a_body_for_which_there_is_no_place_is_refused_and_marked(
    bound: dict[str, Any],
) -> None:
    behind, refused = Behind(), []

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await behind(scope, receive, send)
        except Unavailable:
            refused.append(scope)

    settings = Settings(_env_file=None, **{"max_in_flight": 1, "wait_seconds": 3600, **bound})
    door = Admission(answering, settings, lambda: True)
    slow = Visitor(door, slow=True)
    await settle()
    second = Visitor(door, b"2", slow="max_bodies_under_way" in bound)
    await settle()
    slow.gone.set()  # its part comes, while the other has the place or waits for a part too
    while not refused:
        await asyncio.sleep(0.01)
    assert [REFUSED_HERE in scope for scope in refused] == [True]
    behind.answer.set()
    second.gone.set()
    await asyncio.gather(slow.task, second.task)
    assert door.line.free == 1


async def test_refusals_are_logged_together(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(said, write_through=True))
    monkeypatch.setattr(observability, "TOLD_EVERY", 0.01)
    settings = Settings(_env_file=None, log_level="info", log_format="json")
    configure_logging(settings)
    behind = Behind()
    door = Observed(gate(behind, max_waiting=0), settings)
    served, refused = Visitor(door), [Visitor(door) for _ in range(19)]
    await asyncio.gather(*(visitor.task for visitor in refused))
    while b'"event":"refused"' not in said.getvalue():
        await asyncio.sleep(0.01)
    behind.answer.set()
    await served.task
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    monkeypatch.undo()
    configure_logging(settings.model_copy(update={"log_level": "error"}))
    assert [line["requests"] for line in lines if line["event"] == "refused"] == [19]
    assert [line["status"] for line in lines if line["event"] == "request"] == [200]


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
