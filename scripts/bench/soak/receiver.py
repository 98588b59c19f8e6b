"""The accounts' webhooks of a soak: a local server that now and then fails, and keeps what it was
sent and said."""

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any, Final

_REFUSED: Final = 0.04
_SLOW: Final = 0.02
_SLOW_SECONDS: Final = 2.0
_BODY: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that was answered with 2xx. `at` is on the monotonic clock."""

    at: float
    event_id: str
    subject: str
    sequence: int
    type: str


class Receiver:
    """Answers on a loopback port; `deliveries` are those taken, in the order in which they were."""

    def __init__(self, seed: int) -> None:
        self.deliveries: list[Delivery] = []
        self.refused = 0
        self.url = ""
        self._random = random.Random(f"receiver {seed}")
        self._faults = True
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_BODY)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def behave(self) -> None:
        """Take everything from now on."""
        self._faults = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                headers = _headers(head)
                body = await reader.readexactly(int(headers["content-length"]))
                status = await self._take(headers, json.loads(body))
                writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _take(self, headers: dict[str, str], told: dict[str, Any]) -> int:
        drawn = self._random.random() if self._faults else 1.0
        if drawn < _REFUSED:
            self.refused += 1
            return 500
        if drawn < _REFUSED + _SLOW:
            await asyncio.sleep(_SLOW_SECONDS)
        data = told["data"]
        subject = str(data.get("cardId") or data.get("spendingProfileId"))
        self.deliveries.append(
            Delivery(
                time.monotonic(), headers["webhook-id"], subject, data["sequence"], told["type"]
            )
        )
        return 204


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:]
    return {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)
    }
