"""Many who write one document at once, through two servers: all get on, and none is told that the
database is away."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from tests.outside.sign_in import SENDER_SECRET, Issuer, Mailbox, serving
from tests.serving import Served, served

ROOMY = {
    "otp_per_client_per_hour": "10000",
    "sign_in_failures_per_client_per_hour": "100000",
    "max_in_flight": "400",
}
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@dataclass
class Crowd:
    """Two servers of one deployment, which take turns."""

    clients: list[httpx2.AsyncClient]
    mailbox: Mailbox
    _next: "itertools.count[int]" = field(default_factory=itertools.count)

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request, of the server whose turn it is."""
        return await self.clients[next(self._next) % len(self.clients)].request(
            method, path, **options
        )

    async def make(self, path: str, body: Any) -> str:
        answer = await self.ask("POST", path, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def statuses(
        self, count: int, ask: Callable[[int], Awaitable[httpx2.Response]]
    ) -> Counter[int]:
        """The statuses of requests that are sent at once."""
        return Counter(
            answer.status_code for answer in await asyncio.gather(*map(ask, range(count)))
        )


@pytest.fixture(scope="module")
def servers(
    mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Served, Mailbox]]:
    issuer, mailbox = Issuer(), Mailbox()
    with serving(issuer, mailbox):
        sender = {"sender_url": mailbox.url, "sender_secret": SENDER_SECRET}
        with (
            served(mongodb_uri, tmp_path_factory.mktemp("company"), **ROOMY, **sender) as one,
            one.another() as two,
        ):
            yield one, two, mailbox


@pytest.fixture
async def crowd(servers: tuple[Served, Served, Mailbox]) -> AsyncIterator[Crowd]:
    one, two, mailbox = servers
    limits, timeout = httpx2.Limits(max_connections=None), httpx2.Timeout(60)
    async with (
        httpx2.AsyncClient(
            base_url=one.url, headers=one.headers, limits=limits, timeout=timeout
        ) as first,
        httpx2.AsyncClient(
            base_url=two.url, headers=two.headers, limits=limits, timeout=timeout
        ) as second,
    ):
        yield Crowd([first, second], mailbox)


async def test_fifty_logins_of_one_user(crowd: Crowd) -> None:
    user = await crowd.make("/v1/users", {"name": "Ann"})
    path = f"/v1/users/{user}/logins"
    assert await crowd.statuses(50, lambda _: crowd.ask("POST", path, json={"appId": "notes"})) == {
        201: 50
    }
    shown = (await crowd.ask("GET", f"/v1/users/{user}/activity", params={"limit": 100})).json()[
        "items"
    ]
    assert len(shown) == 50


async def test_a_hundred_and_fifty_appends_to_one_value(crowd: Crowd) -> None:
    user = await crowd.make("/v1/users", {"name": "Ann"})
    path = f"/v1/users/{user}/apps/notes/data/list"
    await crowd.ask("PUT", path, json=[])

    async def append(number: int) -> httpx2.Response:
        return await crowd.ask(
            "PATCH", path, json=[{"op": "add", "path": "/-", "value": number}], headers=JSON_PATCH
        )

    assert await crowd.statuses(150, append) == {200: 150}
    assert sorted((await crowd.ask("GET", path)).json()) == list(range(150))


async def test_forty_patches_of_a_profile(crowd: Crowd) -> None:
    user = await crowd.make("/v1/users", {"name": "Ann"})
    path = f"/v1/users/{user}/profile"

    async def patch(number: int) -> httpx2.Response:
        return await crowd.ask(
            "PATCH", path, json={"metadata": {f"k{number}": number}}, headers=MERGE
        )

    assert await crowd.statuses(40, patch) == {200: 40}
    assert len((await crowd.ask("GET", path)).json()["metadata"]) == 40


async def test_forty_appends_to_the_widgets_of_preferences(crowd: Crowd) -> None:
    user = await crowd.make("/v1/users", {"name": "Ann"})
    path = f"/v1/users/{user}/preferences"
    before = (await crowd.ask("GET", path)).json()["widgets"]["enabled"]

    async def patch(number: int) -> httpx2.Response:
        operations = [{"op": "add", "path": "/widgets/enabled/-", "value": f"w{number}"}]
        return await crowd.ask("PATCH", path, json=operations, headers=JSON_PATCH)

    assert await crowd.statuses(40, patch) == {200: 40}
    after = (await crowd.ask("GET", path)).json()["widgets"]["enabled"]
    assert sorted(after) == sorted([*before, *(f"w{number}" for number in range(40))])


async def test_forty_patches_of_a_user_who_logs_in_meanwhile(crowd: Crowd) -> None:
    user = await crowd.make("/v1/users", {"name": "Ann"})

    async def write(number: int) -> httpx2.Response:
        if number % 2:
            return await crowd.ask("POST", f"/v1/users/{user}/logins", json={"appId": "notes"})
        return await crowd.ask(
            "PATCH", f"/v1/users/{user}", json={"name": f"Ann {number}"}, headers=MERGE
        )

    assert await crowd.statuses(80, write) == {200: 40, 201: 40}
    assert (await crowd.ask("GET", f"/v1/users/{user}")).json()["version"] == 41


@pytest.mark.parametrize("plain", [0, 30])
async def test_fifty_puts_that_record_an_activity(plain: int, crowd: Crowd) -> None:
    """Plain ones beside them wait within the database, and must leave the transactions the
    connections they need."""
    user = await crowd.make("/v1/users", {"name": "Ann"})
    path = f"/v1/users/{user}/apps/notes/data/list"
    await crowd.ask("PUT", path, json=-1)

    async def put(number: int) -> httpx2.Response:
        params = {"activity": "saved"} if number < 50 else {}
        return await crowd.ask("PUT", path, json=number, params=params)

    assert await crowd.statuses(50 + plain, put) == {200: 50 + plain}
    assert (await crowd.ask("GET", path)).headers["etag"].startswith(f'"{51 + plain}.')
    shown = (await crowd.ask("GET", f"/v1/users/{user}/activity", params={"limit": 100})).json()[
        "items"
    ]
    assert len(shown) == 50


async def test_fifty_first_puts_that_record_an_activity(crowd: Crowd) -> None:
    user = await crowd.make("/v1/users", {"name": "Ann"})
    path = f"/v1/users/{user}/apps/notes/data/list"

    async def put(number: int) -> httpx2.Response:
        return await crowd.ask("PUT", path, json=number, params={"activity": "saved"})

    assert await crowd.statuses(50, put) == {201: 1, 200: 49}


async def test_fifty_verifies_of_one_code(crowd: Crowd) -> None:
    number = "+14155550199"
    challenge = (await crowd.ask("POST", "/v1/auth/otp", json={"phoneNumber": number})).json()[
        "challengeId"
    ]
    body = {"challengeId": challenge, "code": crowd.mailbox.code(number)}
    answers = await crowd.statuses(
        50, lambda _: crowd.ask("POST", "/v1/auth/otp/verify", json=body)
    )
    assert answers == {200: 1, 401: 49}


async def test_fifty_cards_of_one_user(crowd: Crowd) -> None:
    account = await crowd.make("/v1/accounts", {"name": "Acme"})
    user = await crowd.make(f"/v1/accounts/{account}/users", {"name": "Ann"})
    path, body = f"/v1/accounts/{account}/cards", {"lastFour": "4242", "userId": user}
    assert await crowd.statuses(50, lambda _: crowd.ask("POST", path, json=body)) == {201: 50}


@pytest.mark.parametrize(("ending", "told"), [("delete", 404), ("pause", 409)])
@pytest.mark.parametrize("key", [None, "once"], ids=["without-a-key", "with-a-key"])
async def test_whoever_closes_an_account_goes_before_those_who_add_to_it(
    key: str | None, ending: str, told: int, crowd: Crowd
) -> None:
    account = await crowd.make("/v1/accounts", {"name": "Acme"})
    users = [await crowd.make(f"/v1/accounts/{account}/users", {"name": "u"}) for _ in range(6)]
    made, closed, refused = Counter[int](), asyncio.Event(), False

    async def give_cards(user: str) -> None:
        path, body = f"/v1/accounts/{account}/cards", {"lastFour": "4242", "userId": user}
        while made[told] < 20 and not (refused and closed.is_set()):
            was_closed = made[told] > 0
            answer = await crowd.ask("POST", path, json=body)
            assert not (answer.status_code == 201 and was_closed), "added to what is closed"
            made[answer.status_code] += 1

    giving = [asyncio.create_task(give_cards(user)) for user in users for _ in range(2)]
    while made[201] < 20:
        await asyncio.sleep(0.01)
    headers = {"Idempotency-Key": f"{key}-{account}"} if key else {}
    if ending == "delete":
        answer = await crowd.ask("DELETE", f"/v1/accounts/{account}", headers=headers)
    else:
        path = f"/v1/accounts/{account}"
        answer = await crowd.ask(
            "PATCH", path, json={"status": "paused"}, headers={**MERGE, **headers}
        )
    refused = answer.status_code not in {200, 202}
    closed.set()
    await asyncio.gather(*giving)
    assert not refused, answer.text
    assert set(made) == {201, told}
