"""Live events, a part of `bench-sync`: what an idle stream keeps, what a poke costs, how soon
others have a write.

Two servers and MongoDB are processes of their own. Pokes are measured by writes that go to MongoDB
directly, so that the server that is measured does nothing else.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any, Final

import httpx2
import orjson
from bson import ObjectId
from pymongo import AsyncMongoClient

from models.base import Raw
from scripts.bench.processes import Server, cpu_seconds, memory_of

_OF_ONE: Final = 10
"""Streams of one user: the others are of others."""
_TOGETHER: Final = 100
_WARM: Final = 50
_QUIET_SECONDS: Final = 3.0
_APP: Final = "notes"


@dataclass(frozen=True, slots=True)
class Bench:
    """What runs: two servers on one database, and the admin's key."""

    servers: tuple[Server, Server]
    database: str
    mongodb_uri: str
    admin: str


class _Person:
    """Somebody with a token, who asks one of the servers."""

    def __init__(self, server: Server, token: str) -> None:
        self.port, self.token = server.port, token
        self.client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}/v1/users/me/apps/{_APP}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )

    async def listen(self) -> "tuple[asyncio.StreamReader, asyncio.StreamWriter]":
        """An open stream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = (
            f"GET /v1/users/me/apps/{_APP}/events HTTP/1.1",
            "Host: x",
            f"Authorization: Bearer {self.token}",
        )
        writer.write("\r\n".join((*lines, "\r\n")).encode())
        await reader.readuntil(b"retry: ")
        return reader, writer


async def measure(bench: Bench, streams: int, writes: int) -> dict[str, Any]:
    """Memory of an idle stream in KiB, CPU of a poke in microseconds, and milliseconds until
    another has a write."""
    users = [await enrolled(bench) for _ in range(streams // _OF_ONE + 1)]
    people = [_Person(bench.servers[0], token) for _, token in users]
    warm = [await people[-1].listen() for _ in range(_WARM)]
    for _, writer in warm:
        writer.close()
    idle = await _idle(bench, people[:-1], streams)
    found = {**idle[0], **await _pokes(bench, [user_id for user_id, _ in users[:-1]], idle[1])}
    for _, writer in idle[1]:
        writer.close()
    return found | await _lateness(bench, users[-1][1], writes)


async def enrolled(bench: Bench) -> tuple[ObjectId, str]:
    """A new user and their token."""
    url, headers = (
        f"http://127.0.0.1:{bench.servers[0].port}/v1/users",
        {"Authorization": f"Bearer {bench.admin}"},
    )
    async with httpx2.AsyncClient(headers=headers, timeout=30) as client:
        user_id = (await client.post(url, json={})).json()["id"]
        token = (await client.post(f"{url}/{user_id}/sessions", json={})).json()["accessToken"]
    return ObjectId(user_id), token


Streams = Sequence["tuple[asyncio.StreamReader, asyncio.StreamWriter]"]


async def _idle(
    bench: Bench, people: Sequence[_Person], streams: int
) -> tuple[dict[str, Any], Streams]:
    pid = bench.servers[0].process.pid
    await asyncio.sleep(_QUIET_SECONDS)
    before = memory_of(pid) or float("nan")
    asked = [person for person in people for _ in range(_OF_ONE)][:streams]
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    for start in range(0, len(asked), _TOGETHER):
        some = asked[start : start + _TOGETHER]
        opened += await asyncio.gather(*(person.listen() for person in some))
    await asyncio.sleep(_QUIET_SECONDS)
    after, used, began = memory_of(pid) or float("nan"), cpu_seconds(pid), time.monotonic()
    await asyncio.sleep(30)
    share = 100 * (cpu_seconds(pid) - used) / (time.monotonic() - began)
    kib = 1024 * (after - before) / len(opened)
    told = {"kibPerStream": round(kib, 1), "idleCpuPercent": round(share, 2)}
    return {"streams": len(opened), **told}, opened


async def _pokes(bench: Bench, users: Sequence[ObjectId], opened: Streams) -> dict[str, Any]:
    """Write for each user once, and wait until every stream has told it."""
    pid = bench.servers[0].process.pid
    async with AsyncMongoClient[Raw](bench.mongodb_uri) as client:
        rows = client[bench.database]["appdata"]
        used, began = cpu_seconds(pid), time.monotonic()
        fields = {"appId": _APP, "dataKey": "poke", "version": 1, "deleted": False, "value": 1}
        await rows.insert_many([{"userId": user_id, **fields} for user_id in users])
        await asyncio.gather(*(reader.readuntil(b"event: changed") for reader, _ in opened))
        took, cost = time.monotonic() - began, cpu_seconds(pid) - used
    return {
        "pokeCpuMicroseconds": round(1e6 * cost / len(opened), 1),
        "pokeOfAllSeconds": round(took, 2),
    }


async def _lateness(bench: Bench, token: str, writes: int) -> dict[str, Any]:
    """Write by one server, listen at the other, and ask it for the changes: time from the answer to
    the answer."""
    writer, reader = (_Person(server, token) for server in bench.servers)
    cursor = (await reader.client.get("/changes")).json()["cursor"]
    stream, connection = await reader.listen()
    late = []
    for number in range(writes):
        await asyncio.sleep(random.uniform(0.15, 0.35))
        (await writer.client.put("/data/late", content=orjson.dumps(number))).raise_for_status()
        written = time.perf_counter()
        values: list[Any] = []
        while number not in values:
            await stream.readuntil(b"event: changed")
            answer = (await reader.client.get("/changes", params={"since": cursor})).json()
            cursor = answer["cursor"]
            values = [change.get("value") for change in answer["changes"]]
        late.append(1000 * (time.perf_counter() - written))
    connection.close()
    cut = quantiles(late, n=20)
    return {"writes": writes, "lateP50Ms": round(cut[9], 1), "lateP95Ms": round(cut[18], 1)}
