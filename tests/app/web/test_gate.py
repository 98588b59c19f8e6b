"""The gate seen from a server: what it asks of those who wait, and what it does when they go
away."""

import asyncio
import io
import json
import sys
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unavailable
from app.settings import Settings
from app.web import observability
from app.web.admission.gate import Admission
from app.web.observability import REFUSED_HERE, Observed, configure_logging
from tests.factories.gates import Behind, gate
from tests.factories.lines import settle


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
    door = Admission(answering, settings, lambda: None)
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
