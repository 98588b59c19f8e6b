"""Writers of `bench-nothing-missed`: single writes, batches for each and atomic ones, deletions,
values that expire, some with keys that make a repeat safe."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import httpx2

from scripts.bench.missed.journal import Journal

KEYS: Final = 600
GROUP: Final = tuple(f"group.{number}" for number in range(4))
"""Keys that are written by atomic batches alone, all four to the same value."""
APP: Final = "notes"
_AGAIN: Final = frozenset({409, 429, 503})
_SECONDS: Final = 20.0
_TRIES_SECONDS: Final = 45.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose data is written."""

    id: str
    token: str


@dataclass(slots=True)
class Town:
    """Where everybody asks: the servers' addresses, which change when one is started again."""

    urls: list[str]
    people: list[Person]
    journal: Journal

    def path(self, which: int, rest: str) -> str:
        """An address of the app's data at a server."""
        return f"{self.urls[which]}/v1/users/me/apps/{APP}{rest}"


class Writer:
    """One who writes at one server until told to stop."""

    def __init__(self, town: Town, which: int, seed: str) -> None:
        self._town, self._which = town, which
        self._random = random.Random(seed)
        self._client = httpx2.AsyncClient(timeout=_SECONDS)

    async def run(self, stop: asyncio.Event) -> None:
        """Write, one write after another."""
        kinds: list[Callable[[Person], Awaitable[None]]] = [
            self._put,
            self._put_safely,
            self._delete,
            self._patch,
            self._each,
            self._atomic,
            self._group,
        ]
        async with self._client:
            while not stop.is_set():
                person = self._random.choice(self._town.people)
                await self._random.choices(kinds, (30, 6, 8, 5, 20, 16, 10))[0](person)

    def _key(self) -> str:
        return f"k{self._random.randrange(KEYS):03}"

    def _ttl(self) -> dict[str, int]:
        return {"ttl": self._random.randint(1, 3)} if self._random.random() < 0.15 else {}

    async def _put(self, person: Person) -> None:
        """A put of its own, sent once: without an answer nobody knows."""
        key, mark = self._key(), uuid4().hex
        answer = await self._ask(
            "PUT", person, f"/data/{key}", json={"by": mark}, params=self._ttl()
        )
        self._note(person, key, mark, answer)

    async def _put_safely(self, person: Person) -> None:
        """A put that is one transaction with its key, and is sent until it is answered."""
        key, mark = self._key(), uuid4().hex
        headers = {"Idempotency-Key": mark}
        answer = await self._until_answered(
            "PUT", person, f"/data/{key}", json={"by": mark}, headers=headers
        )
        if answer is not None and "idempotency-replayed" not in answer.headers:
            self._note(person, key, mark, answer)

    async def _patch(self, person: Person) -> None:
        key, mark = self._key(), uuid4().hex
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = await self._ask(
            "PATCH", person, f"/data/{key}", json={"by": mark}, headers=headers
        )
        self._note(person, key, mark, answer)

    async def _delete(self, person: Person) -> None:
        answer = await self._ask("DELETE", person, f"/data/{self._key()}")
        if answer is not None:
            self._town.journal.counts["single deletions"] += answer.status_code == 204

    async def _each(self, person: Person) -> None:
        await self._batch(person, self._writes(self._random.randint(2, 12)), atomic=False)

    async def _atomic(self, person: Person) -> None:
        await self._batch(person, self._writes(self._random.randint(2, 8)), atomic=True)

    async def _group(self, person: Person) -> None:
        value = {"by": uuid4().hex}
        writes = [
            {"dataKey": key, "value": value, "mutationId": f"{value['by']}.{key}"} for key in GROUP
        ]
        await self._batch(person, writes, atomic=True)

    def _writes(self, count: int) -> list[dict[str, Any]]:
        keys = sorted({self._key() for _ in range(count)})
        return [self._write(key) for key in keys]

    def _write(self, key: str) -> dict[str, Any]:
        mark = uuid4().hex
        if self._random.random() < 0.2:
            return {"dataKey": key, "delete": True, "mutationId": mark}
        if self._random.random() < 0.1:
            return {"dataKey": key, "mergePatch": {"by": mark}, "mutationId": mark}
        guarded = {"ifVersion": 0} if self._random.random() < 0.05 else {}
        return {"dataKey": key, "value": {"by": mark}, "mutationId": mark, **guarded, **self._ttl()}

    async def _batch(self, person: Person, writes: list[dict[str, Any]], *, atomic: bool) -> None:
        body = {"atomic": atomic, "writes": writes}
        answer = await self._until_answered("POST", person, "/batch", json=body)
        if answer is None:
            return
        kind = "atomic batches" if atomic else "batches for each"
        self._town.journal.counts[kind if answer.status_code == 200 else f"refused {kind}"] += 1
        for write, result in zip(writes, answer.json().get("results", ()), strict=False):
            if result["status"] == "stored" and answer.status_code == 200:
                self._town.journal.note(
                    (person.id, write["dataKey"]),
                    result["version"],
                    write["mutationId"],
                    is_value="delete" not in write,
                )

    def _note(self, person: Person, key: str, mark: str, answer: httpx2.Response | None) -> None:
        if answer is not None and answer.is_success:
            self._town.journal.note((person.id, key), answer.json()["version"], mark)
            self._town.journal.counts["single writes"] += 1

    async def _until_answered(
        self, method: str, person: Person, rest: str, **options: Any
    ) -> httpx2.Response | None:
        """The answer of a write that is safe to send again; None where there is none for long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _TRIES_SECONDS
        while loop.time() < deadline:
            answer = await self._ask(method, person, rest, **options)
            if answer is not None:
                return answer
            self._town.journal.counts["sent again"] += 1
            await asyncio.sleep(self._random.uniform(0.05, 0.3))
        self._town.journal.counts["given up"] += 1
        return None

    async def _ask(
        self, method: str, person: Person, rest: str, **options: Any
    ) -> httpx2.Response | None:
        """One request; None where it was not answered, or was to be sent again."""
        headers = {"Authorization": f"Bearer {person.token}", **options.pop("headers", {})}
        try:
            answer = await self._client.request(
                method, self._town.path(self._which, rest), headers=headers, **options
            )
        except httpx2.TransportError:
            self._town.journal.counts["without answer"] += 1
            return None
        if answer.status_code in _AGAIN:
            self._town.journal.counts[f"answered {answer.status_code}"] += 1
            return None
        if answer.status_code >= 500 or answer.status_code in (400, 401, 403):
            self._town.journal.faults.append(
                f"{method} {rest}: {answer.status_code} {answer.text[:200]}"
            )
        return answer
