"""What an account's webhook is in real life: a small HTTP server that keeps what it is sent and
answers as told."""

import asyncio
import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Delivery:
    """A request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def subject(self) -> str:
        data = self.event["data"]
        return str(data.get("cardId") or data.get("spendingProfileId"))

    @property
    def place(self) -> tuple[str, int]:
        return self.subject, self.event["data"]["sequence"]

    def is_signed_by(self, secret: str) -> bool:
        """As a receiver verifies it (standardwebhooks.com)."""
        key = b64decode(secret.removeprefix("whsec_"))
        signed = (
            f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
            + self.body
        )
        wanted = "v1," + b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


Answer = Callable[[Delivery], Awaitable[int]]


async def _fine(_: Delivery) -> int:
    return 204


class Receiver:
    """Keeps `deliveries` as they come; `answer` says with which status each is answered."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.taken: list[Delivery] = []
        self.answer: Answer = _fine
        self.url = ""

    def refuse(self, refused: Callable[[Delivery], bool] = lambda _: True) -> None:
        """From now on, answer these with 500, and the others as if all were well."""

        async def answer(delivery: Delivery) -> int:
            return 500 if refused(delivery) else await _fine(delivery)

        self.answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value
                for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers["content-length"]))
            delivery = Delivery(head[0].split(" ")[1], headers, body)
            self.deliveries.append(delivery)
            status = await self.answer(delivery)
            if status < 300:
                self.taken.append(delivery)
            secret = b"what the receiver says is kept nowhere"
            extra = f"Location: {self.url}/elsewhere\r\n" if 300 <= status < 400 else ""
            writer.write(
                f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(secret)}\r\nConnection:"
                " close\r\n\r\n".encode()
                + (b"" if status == 204 else secret)
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
