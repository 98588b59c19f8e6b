"""A small HTTP/1.1 server on a real socket, with faults on demand, for what lives on the
internet."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import orjson


@dataclass
class Asked:
    """A request: method, decoded path, query, headers in lower case, body."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Told:
    """An answer. `cut` ends the connection in the middle of the body, `hang` never goes on from
    there."""

    status: int = 200
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: bool = False
    hang: bool = False

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return b"" if self.json is None else orjson.dumps(self.json)


Serve = Callable[[Asked], Told | Awaitable[Told]]
Fault = Told | Callable[[Asked, Told], Told]


class OutsideServer:
    """Serves what `serve` says. `faults` come first, one per request: an answer, or a change of
    it."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.faults: deque[Fault | None] = deque()
        self.asked: list[Asked] = []
        self.url = ""
        self.hold: asyncio.Event | None = None
        self.held = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def next_request_is_held(self) -> asyncio.Event:
        """Hold the next request back until the event that this gives is set."""
        self.hold, self.held = asyncio.Event(), asyncio.Event()
        return self.hold

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, h11.RemoteProtocolError, asyncio.CancelledError):
                await self._talk(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            connection = h11.Connection(h11.SERVER)
            asked = await self._receive(connection, reader)
            if asked is None:
                return
            self.asked.append(asked)
            if self.hold is not None:
                gate, self.hold = self.hold, None
                self.held.set()
                await gate.wait()
            told = await self._answer(asked)
            body = told.body()
            headers = {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **told.headers,
            }
            if told.status == 204:
                headers.pop("Content-Length")
            writer.write(
                connection.send(
                    h11.Response(status_code=told.status, headers=list(headers.items()))
                )
                or b""
            )
            if told.cut or told.hang:
                writer.write(body[: len(body) // 2])
                await writer.drain()
                if told.hang:
                    await asyncio.Event().wait()
                return
            if body and told.status != 204:
                writer.write(body)
            await writer.drain()

    async def _answer(self, asked: Asked) -> Told:
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, Told):
            return fault
        told = self.serve(asked)
        if not isinstance(told, Told):
            told = await told
        return fault(asked, told) if fault else told

    async def _receive(
        self, connection: h11.Connection, reader: asyncio.StreamReader
    ) -> Asked | None:
        request, body = None, b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65536)
                connection.receive_data(data)
                if not data and request is None:
                    return None
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                parts = urlsplit(request.target.decode())
                headers = {
                    name.decode().lower(): value.decode("latin-1")
                    for name, value in request.headers
                }
                return Asked(
                    request.method.decode(), parts.path, dict(parse_qsl(parts.query)), headers, body
                )
            else:
                return None


def segments(path: str) -> list[str]:
    """The decoded parts of a path."""
    return [unquote(part) for part in path.strip("/").split("/")]


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[OutsideServer]:
    """A server, while the block lasts."""
    server = OutsideServer(serve)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
