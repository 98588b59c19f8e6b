"""Pollers of `bench-nothing-missed`: each keeps a picture of one person's data by what the guide
tells clients to do (docs/sync.md), over connections that are cut."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from scripts.bench.missed.writers import APP, GROUP, Person, Town

_CUT_SECONDS: Final = (0.2, 1.8)
_READ_SECONDS: Final = 10.0


@dataclass(slots=True)
class Picture:
    """What a client has: the newest that it heard of each key, and the cursor.

    Attributes:
        rows: version and value of each key; None for a value that is gone.
        cursor: as of the last answer; None to list anew.
        listed: the keys of a list that is under way.
        within: whether a pass is under way.
        halves: passes that showed a batch by half.
    """

    rows: dict[str, tuple[int, Any]] = field(default_factory=dict)
    cursor: str | None = None
    listed: set[str] | None = None
    within: bool = False
    halves: int = 0

    @property
    def live(self) -> dict[str, tuple[int, Any]]:
        """The values that live."""
        return {key: row for key, row in self.rows.items() if row[1] is not None}

    def take(self, answer: dict[str, Any]) -> None:
        """Keep an answer."""
        if self.cursor is None:
            self.listed = set()
        for change in answer["changes"]:
            key, version = change["dataKey"], change["version"]
            if self.listed is not None:
                self.listed.add(key)
            known, ends = self.rows.get(key, (0, None))[0], change.get("deleted", False)
            if version > known or (ends and version == known):
                self.rows[key] = (version, change.get("value"))
        self.cursor, self.within = answer["cursor"], answer["more"]
        if not self.within:
            self._end_pass()

    def _end_pass(self) -> None:
        if self.listed is not None:
            self.rows = {key: row for key, row in self.rows.items() if key in self.listed}
            self.listed = None
        seen = {str(self.rows.get(key, (0, None))[1]) for key in GROUP}
        self.halves += len(seen) > 1


class Poller:
    """One who follows a person's data.

    Attributes:
        name: what it is called in the verdict.
        person: whose.
        picture: what it has.
        polls: how many answers it got.
        told: events that it heard.
        anew: times that it had to list anew.
        cuts: connections that were cut.
        stale: passes without something that was acknowledged before they began.
        hurry: set when there is nothing more to wait for.
    """

    def __init__(
        self, town: Town, kind: str, person: Person, servers: tuple[int, ...], seed: str
    ) -> None:
        self.name, self.person, self.picture = kind, person, Picture()
        self.polls = self.told = self.anew = self.cuts = self.stale = 0
        self._town, self._servers = town, servers
        self.hurry = asyncio.Event()
        self._before_list: dict[str, int] = {}
        self._patience = 1.0
        self._random = random.Random(seed)

    async def run(self) -> None:
        """Follow until cancelled."""
        follow = {
            "changes": self._poll_often,
            "without overlap": self._poll_often,
            "wait": self._wait,
            "events": self._listen,
            "slow": self._poll_seldom,
        }[self.name]
        while True:
            with suppress(httpx2.TransportError, OSError, EOFError, TimeoutError):
                await follow()
            await asyncio.sleep(0.05)

    async def _poll_often(self) -> None:
        """Over one connection, until it is cut."""
        async with self._connection() as client:
            while True:
                await self._pass(client)
                await asyncio.sleep(self._random.uniform(0, 0.3))

    async def _poll_seldom(self) -> None:
        """So seldom that tombstones may be gone."""
        async with self._connection() as client:
            await self._pass(client)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._random.uniform(4, 30)):
                await self.hurry.wait()

    async def _wait(self) -> None:
        async with self._connection() as client:
            while True:
                await self._page(client, wait=25)

    async def _listen(self) -> None:
        """Ask when told, and never else; the stream is cut, what it told is asked for by another
        connection."""
        self._patience *= 2
        seconds = self._random.uniform(*_CUT_SECONDS) * self._patience / 2
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        async with asyncio.timeout_at(ends) as cut:
            reader, writer = await self._open_stream()
            self._patience = 1.0
            try:
                if self.picture.cursor is None:
                    await self._pass_by_itself()
                while loop.time() < ends:
                    await reader.readuntil(b"event: changed")
                    self.told += 1
                    cut.reschedule(None)  # what was told is asked for, come what may
                    await self._pass_by_itself()
                    cut.reschedule(ends)
            finally:
                self.cuts += 1
                writer.close()

    async def _open_stream(self) -> "tuple[asyncio.StreamReader, asyncio.StreamWriter]":
        url = urlsplit(self._town.urls[self._random.choice(self._servers)])
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        since = f"?since={self.picture.cursor}" if self.picture.cursor else ""
        lines = (
            f"GET /v1/users/me/apps/{APP}/events{since} HTTP/1.1",
            "Host: x",
            f"Authorization: Bearer {self.person.token}",
        )
        writer.write("\r\n".join((*lines, "\r\n")).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 410 " in head.splitlines()[0]:
            self._begin_anew()
        return reader, writer

    async def _pass_by_itself(self) -> None:
        while True:
            with suppress(httpx2.TransportError):
                async with httpx2.AsyncClient(timeout=_READ_SECONDS) as client:
                    await self._pass(client)
                    return
            await asyncio.sleep(0.1)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[httpx2.AsyncClient]:
        """One that is cut; after one without an answer the next one lasts twice as long."""
        self._patience *= 2
        seconds = self._random.uniform(*_CUT_SECONDS) * self._patience / 2
        self.cuts += 1
        async with asyncio.timeout(seconds), httpx2.AsyncClient(timeout=_READ_SECONDS) as client:
            yield client

    async def _pass(self, client: httpx2.AsyncClient) -> None:
        """Ask until there is no more. Whatever was acknowledged before must be there then."""
        began_whole, anew = self.picture.cursor is not None and not self.picture.within, self.anew
        known = self._acknowledged()
        while await self._page(client):
            pass
        if not began_whole or self.anew != anew:
            self._before_list = self._acknowledged()  # a list says nothing of what is gone
            return
        rows, before = self.picture.rows, self._before_list
        self.stale += any(
            version > max(rows.get(key, (0, None))[0], before.get(key, 0))
            for key, version in known.items()
        )

    def _acknowledged(self) -> dict[str, int]:
        """The latest version of each key that was acknowledged as a value."""
        return {
            key: version
            for (user_id, key), version in self._town.journal.newest.items()
            if user_id == self.person.id
        }

    async def _page(self, client: httpx2.AsyncClient, **params: Any) -> bool:
        """One answer. Returns whether there is more."""
        since = {} if self.picture.cursor is None else {"since": self.picture.cursor}
        params = {**params, **since, "limit": self._random.choice((7, 50, 200))}
        answer = await client.get(
            self._town.path(self._random.choice(self._servers), "/changes"),
            params=params,
            headers={"Authorization": f"Bearer {self.person.token}"},
        )
        if answer.status_code == 410:
            self._begin_anew()
            return True
        if answer.status_code in (429, 503):
            await asyncio.sleep(0.2)
            return True
        if answer.status_code != 200:
            self._town.journal.faults.append(f"changes: {answer.status_code} {answer.text[:200]}")
            await asyncio.sleep(0.5)
            return True
        self.polls += 1
        self._patience = 1.0
        body = answer.json()
        self.picture.take(body)
        return bool(body["more"])

    def _begin_anew(self) -> None:
        self.anew += 1
        self.picture.cursor, self.picture.listed = None, None
