"""Faults of the database, on order: commands that fail, and a way to it that can be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from pymongo import AsyncMongoClient

TRANSIENT = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}


@asynccontextmanager
async def failing(
    client: AsyncMongoClient[Any], *commands: str, mode: Any, **how: Any
) -> AsyncIterator[None]:
    """Have mongod fail these commands of Satchel's clients: `mode` and `how` are
    `failCommand`'s."""
    data = {"failCommands": list(commands), "appName": "satchel", **how}
    await client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
    try:
        yield
    finally:
        await client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


class Cable:
    """A way to mongod that can be cut: every connection over it ends, and new ones are refused."""

    def __init__(self, uri: str) -> None:
        self._target = urlsplit(uri)
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()

    async def connect(self, port: int = 0) -> str:
        """Lay it; the URI of its near end, at this port if one is given."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        port = self._server.sockets[0].getsockname()[1]
        return f"mongodb://127.0.0.1:{port}/?directConnection=true"

    async def cut(self) -> None:
        """End every connection, and take no new ones."""
        if self._server is not None:
            self._server.close()
        for end in list(self._ends):
            end.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(
            self._target.hostname, self._target.port
        )
        self._ends |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
