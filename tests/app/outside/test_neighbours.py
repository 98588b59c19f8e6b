"""Bad neighbours: hosts that hang and webhooks that are dead hold up their own work, and nobody
else's."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bson import ObjectId
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from app.database import bind
from app.outside.keyring import load_keyring
from app.outside.links import remove_due
from app.settings import Settings
from app.work import ensure_jobs, work
from models.account import Account
from models.base import now
from models.card_event import CardEvent
from models.outside_link import OutsideLink
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent
from tests.app.cards.receiver import Delivery, Receiver, receiving
from tests.cast import enrol
from tests.conftest import MakeApi
from tests.harness import Api, Caller
from tests.outside.hosts.github import GitHubServer
from tests.outside.server import Asked, Told

HUNG, DEAD, CARDS = 20, 10, 5
TOKEN = "git_token_planted"


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[None]:
    """Everything that a worker does, in this process."""
    await ensure_jobs()
    stop = asyncio.Event()
    running = asyncio.create_task(work(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.05)


class Hanging:
    """Answers nothing once it hangs, until it is let go."""

    def __init__(self) -> None:
        self.open, self.let_go, self.hangs = 0, asyncio.Event(), False

    async def wait(self) -> None:
        self.open += 1
        await self.let_go.wait()


async def connect(owner: Caller, path: str) -> str:
    """Connect a new project to a repository; its path."""
    project = f"/v1/projects/{(await owner.post('/v1/projects', json={'name': path})).json()['id']}"
    body = {
        "repositoryUrl": f"https://github.com/{path}",
        "serviceType": "GitHub",
        "accessToken": TOKEN,
    }
    answer = await owner.put(f"{project}/repository", json=body)
    assert answer.is_success, answer.text
    return project


async def account(admin: Caller, url: str) -> Callable[[], Awaitable[Any]]:
    """An account with this webhook; what makes a card of it."""
    made = await admin.post("/v1/accounts", json={"name": url.rsplit("/", 1)[1], "webhookUrl": url})
    assert made.status_code == 201, made.text
    path = f"/v1/accounts/{made.json()['id']}"
    user = (
        await admin.post(f"{path}/users", json={"email": f"{secrets.token_hex(4)}@example.com"})
    ).json()["id"]

    async def card() -> None:
        answer = await admin.post(f"{path}/cards", json={"userId": user, "lastFour": "4242"})
        assert answer.status_code == 201, answer.text

    return card


async def deliver(api: Api, host: GitHubServer, path: str) -> None:
    """The host delivers an event of a repository."""
    repo = host.repos[path]
    where, body, headers = host.delivery(repo, host.payload(repo, number=secrets.randbelow(10**9)))
    answer = await api.caller(None).post(where, content=body, headers=headers)
    assert answer.status_code == 202, answer.text


async def processed() -> bool:
    return await WebhookEvent.raw().count_documents({"status": {"$ne": "processed"}}) == 0


async def test_hung_hosts_and_dead_webhooks_hold_up_nobody_else(
    make_api: MakeApi, client: AsyncMongoClient[Any], base_settings: Settings
) -> None:
    host, hung, dead = GitHubServer(), Hanging(), Hanging()
    usual = host.serve

    async def serve(asked: Asked) -> Told:
        if hung.hangs and "/hung" in asked.path:
            await hung.wait()
        return usual(asked)

    async def answer(delivery: Delivery) -> int:
        if delivery.path.startswith("/dead"):
            await dead.wait()
        return 204

    host.server.serve = serve
    await host.server.start()
    async with receiving() as receiver:
        receiver.answer = answer
        api = await make_api(
            github_api_url=host.server.url,
            outgoing_timeout_seconds=60.0,
            webhook_timeout_seconds=20.0,
            # less than the dead ones have to be told, with the places for slow work
            webhook_concurrency=4,
            public_url="https://satchel.example",
        )
        cast = await enrol(api)
        names = [f"acme/hung{number}" for number in range(HUNG)] + ["acme/good"]
        for name in names:
            host.add(name, TOKEN)
            await connect(cast.owner, name)
        good = await account(cast.admin, f"{receiver.url}/good")
        for number in range(DEAD):
            card = await account(cast.admin, f"{receiver.url}/dead{number}")
            for _ in range(CARDS):
                await card()
        hung.hangs = True
        await RepositoryConnection.raw().update_many({}, {"$set": {"nextHealthCheckAt": now()}})
        try:
            async with worker(api.settings):
                try:
                    await _nobody_is_held_up(api, host, hung, dead, good, receiver)
                finally:  # before the worker is stopped: it ends once what it has begun is done
                    hung.let_go.set()
                    dead.let_go.set()
        finally:
            await host.server.stop()
    await bind(client, base_settings)


async def _nobody_is_held_up(
    api: Api,
    host: GitHubServer,
    hung: Hanging,
    dead: Hanging,
    good: Callable[[], Awaitable[Any]],
    receiver: Receiver,
) -> None:
    async def all_hang() -> bool:
        return hung.open == HUNG and dead.open >= DEAD

    async def served() -> bool:
        return await processed() and "/good" in [each.path for each in receiver.taken]

    await until(all_hang)
    await deliver(api, host, "acme/good")
    await good()
    await until(served)
    told = await CardEvent.raw().distinct(
        "accountId", {"attempts": {"$gt": 0}}
    )  # the good one's may not be noted yet
    urls = await Account.raw().distinct("webhookUrl", {"_id": {"$in": told}})
    assert [url for url in urls if "/dead" in url] == [], "dead ones still hang"


@pytest.mark.usefixtures("database")
async def test_a_link_whose_host_hangs_holds_up_the_removal_of_no_other(
    base_settings: Settings,
) -> None:
    keyring, hanging, begun = load_keyring(base_settings), asyncio.Event(), list[Any]()
    for _ in range(2):
        row: dict[str, Any] = {"_id": ObjectId(), "userId": ObjectId()}
        place = OutsideLink.place_in(
            {"kind": "bank", "originId": row["_id"], "ownerId": row["userId"]}, "access_token"
        )
        row["accessToken"] = keyring.seal(SecretStr("token"), place).stored()
        await OutsideLink.add_all([OutsideLink.of("bank", row, "userId", {})], None)

    async def remove(link: OutsideLink, _: str) -> None:
        begun.append(link.id)
        if len(begun) == 1:
            await hanging.wait()

    async def the_hanging_one_is_left() -> bool:
        return [row["_id"] async for row in OutsideLink.raw().find({}, {"_id": 1})] == begun[:1]

    running = asyncio.create_task(remove_due("bank", remove, keyring))
    try:
        await until(the_hanging_one_is_left)
        assert not running.done()
    finally:
        hanging.set()
    assert await running == 2
