"""The load of a soak: events, cards, values that end, people who go, activity, each at a steady
pace."""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from scripts.bench.processes import BenchError
from scripts.bench.soak.client import Client
from scripts.bench.soak.receiver import Receiver

APP: Final = "soak"
_ACCOUNTS, _CARDS, _PEOPLE = 3, 6, 12
_NAMES: Final = ("opened", "read", "bought", "shared", "closed")
_CATEGORIES: Final = ("engagement", "conversion", "error", "custom")
_BATCH: Final = 20
_KEPT_SECONDS: Final = 7200
_VISIT: Final = 40


@dataclass(slots=True)
class Value:
    """A value that was stored: under which version, and whether it ends within the soak."""

    user: str
    key: str
    version: int
    ends: bool


@dataclass(slots=True)
class Journal:
    """What the server has acknowledged."""

    events: set[str] = field(default_factory=set)
    passing_events: int = 0
    odd_events: int = 0
    values: dict[str, Value] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)
    activities: Counter[str] = field(default_factory=Counter)
    deleted: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Cast:
    """Who is there from the beginning to the end."""

    people: list[str] = field(default_factory=list)
    cards: list[tuple[str, str]] = field(default_factory=list)
    profiles: list[tuple[str, str]] = field(default_factory=list)


class Load:
    """Everything that clients do, until it is told to stop; what is under way then is brought to
    its end."""

    def __init__(self, client: Client, receiver: Receiver, seed: int) -> None:
        self.journal = Journal()
        self.cast = Cast()
        self._client = client
        self._receiver = receiver
        self._random = random.Random(f"load {seed}")
        self._stop = asyncio.Event()
        self._passing: list[str] = []

    async def enrol(self) -> None:
        """Make accounts with a webhook, cards and profiles, and people who stay."""
        for number in range(_ACCOUNTS):
            body = {"name": f"a{number}", "webhookUrl": f"{self._receiver.url}/{number}"}
            account = await self._made("/v1/accounts", body)
            holder = await self._made(f"/v1/accounts/{account}/users", {"name": "Holder"})
            profile = await self._made(
                f"/v1/accounts/{account}/spending-profiles", {"name": "p", "limits": {"DAILY": 100}}
            )
            self.cast.profiles.append((account, profile))
            for _ in range(_CARDS):
                card = {"userId": holder, "spendingProfileId": profile, "lastFour": "4242"}
                self.cast.cards.append(
                    (account, await self._made(f"/v1/accounts/{account}/cards", card))
                )
        self.cast.people = [
            await self._made("/v1/users", {"name": f"P{number}"}) for number in range(_PEOPLE)
        ]

    async def _made(self, path: str, body: Any) -> str:
        answer = await self._client.ask("POST", path, json=body, once=True)
        found = answer.json().get("id")
        if found is None:  # the answer to a repeat is what was made, but where that held a secret
            raise BenchError(f"POST {path}: {answer.status_code} {answer.text}")
        return str(found)

    async def run(self) -> None:
        """Do it all until `stop`.

        Raises:
            BenchError: an answer was wrong.
        """
        paces: list[tuple[Callable[[], Coroutine[Any, Any, None]], float]] = [
            (self._send_events, 0.25),
            (self._change_card, 0.2),
            (self._change_profile, 4.0),
            (self._put_value, 0.2),
            (self._note_activity, 0.3),
            (self._pass_by, 3.0),
        ]
        async with asyncio.TaskGroup() as group:
            for act, seconds in paces:
                group.create_task(self._pace(act, seconds))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stop.set()

    async def _pace(self, act: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
        """Do one thing again and again, several at once where the server is slow, as many clients
        do."""
        running: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            while not self._stop.is_set():
                running = {task for task in running if not task.done()}
                if len(running) < 8:
                    running.add(group.create_task(act()))
                try:
                    async with asyncio.timeout(seconds * self._random.uniform(0.7, 1.3)):
                        await self._stop.wait()
                except TimeoutError:
                    continue

    async def _send_events(self) -> None:
        batch = [self._event() for _ in range(_BATCH)]
        answer = await self._client.ask("POST", "/v1/analytics/events", json=batch)
        told = self._expect(answer, 200)
        if told["quarantined"]:
            raise BenchError(f"sound events were set aside: {told}")
        self.journal.events |= {str(event["messageId"]) for event in batch}

    def _event(self, user: str | None = None) -> dict[str, Any]:
        draw = self._random
        event: dict[str, Any] = {
            "appId": APP,
            "eventName": draw.choice(_NAMES),
            "eventCategory": draw.choice(_CATEGORIES),
            "messageId": secrets.token_hex(12),
        }
        person = user or (draw.choice(self.cast.people) if draw.random() < 0.4 else None)
        if person is not None:
            return event | {
                "userId": person,
                "sessionId": f"{person[-6:]}-{draw.randrange(_VISIT)}",
            }
        return event | {"anonymousId": f"anon-{draw.randrange(500)}"}

    async def send_odd_event(self) -> None:
        """Send an event that cannot be counted, among one that can."""
        sound = self._event()
        odd = {
            "appId": APP,
            "eventName": f"odd {secrets.token_hex(4)}",
            "eventCategory": "none of ours",
        }
        told = self._expect(
            await self._client.ask("POST", "/v1/analytics/events", json=[sound, odd]), 200
        )
        if told["quarantined"] != 1:
            raise BenchError(f"an odd event was not set aside: {told}")
        self.journal.events.add(str(sound["messageId"]))
        self.journal.odd_events += 1

    async def _change_card(self) -> None:
        account, card = self._random.choice(self.cast.cards)
        change = {"spendLimit": self._random.randrange(1, 10**9), "spendLimitDuration": "DAILY"}
        path = f"/v1/accounts/{account}/cards/{card}"
        self._expect(await self._client.ask("PATCH", path, json=change, once=True), 200)
        self.journal.changes[card] += 1

    async def _change_profile(self) -> None:
        account, profile = self._random.choice(self.cast.profiles)
        change = {"limits": {"DAILY": self._random.randrange(1, 10**9)}}
        path = f"/v1/accounts/{account}/spending-profiles/{profile}"
        self._expect(await self._client.ask("PATCH", path, json=change, once=True), 200)
        self.journal.changes[profile] += 1

    async def _put_value(self) -> None:
        user, key = self._random.choice(self.cast.people), secrets.token_hex(8)
        ends = self._random.random() < 0.8
        ttl = self._random.randrange(1, 15) if ends else _KEPT_SECONDS
        path = f"/v1/users/{user}/apps/{APP}/data/{key}"
        answer = await self._client.ask(
            "PUT", path, json={"n": ttl}, params={"ttl": str(ttl)}, once=True
        )
        self._expect(answer, 201, 404)  # 404: to a repeat, when it has ended
        self.journal.values[key] = Value(user, key, 1, ends)

    async def _note_activity(self) -> None:
        user = self._random.choice(self.cast.people)
        body = {"appId": APP, "eventType": "seen"}
        self._expect(
            await self._client.ask("POST", f"/v1/users/{user}/activity", json=body, once=True), 201
        )
        self.journal.activities[user] += 1

    async def _pass_by(self) -> None:
        """Somebody comes, leaves traces, and goes; who came before them is deleted."""
        user = await self._made("/v1/users", {"name": "Passing"})
        path = f"/v1/users/{user}"
        await self._client.ask(
            "POST", f"{path}/activity", json={"appId": APP, "eventType": "seen"}, once=True
        )
        await self._client.ask("PUT", f"{path}/apps/{APP}/data/k", json=1, params={"ttl": "20"})
        batch = [self._event(user) for _ in range(5)]
        self._expect(await self._client.ask("POST", "/v1/analytics/events", json=batch), 200)
        self.journal.passing_events += len(batch)
        self._passing.append(user)
        if len(self._passing) > 2:
            gone = self._passing.pop(0)
            # 404: to a repeat
            self._expect(await self._client.ask("DELETE", f"/v1/users/{gone}"), 200, 202, 404)
            self.journal.deleted.append(gone)

    def _expect(self, answer: Any, *statuses: int) -> Any:
        if answer.status_code not in statuses:
            raise BenchError(
                f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
            )
        return answer.json()
