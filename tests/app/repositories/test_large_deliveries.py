"""Deliveries as large as hosts send them: taken, verified while they come, in memory with a bound;
or told as lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
from bson import ObjectId

from app.outside.signatures import signature
from app.repositories.deliveries.reading import Room
from app.repositories.hosts.registry import HOSTS
from app.web.body import MAX_BODY_BYTES, MAX_DELIVERY_BYTES
from models.repository_connection import RepositoryConnection
from models.webhook_event import WebhookEvent
from tests.app.repositories.conftest import PATHS, TOKEN, Forge

LARGE = [kind for kind, host in HOSTS.items() if host.IS_LARGE]


def large(forge: Forge, kind: str, size: int, **more: Any) -> Any:
    payload = forge.hosts[kind].payload(forge.hosts[kind].repos[PATHS[kind]], **more)
    payload["commits"] = [{"id": number, "message": "m" * 1000} for number in range(size // 1030)]
    payload["fill"] = ""
    payload["fill"] = "x" * (size - len(orjson.dumps(payload)))
    return payload


def room_of(forge: Forge) -> Room:
    room: Room = forge.api.app.state.delivery_room
    return room


@pytest.mark.parametrize("kind", LARGE)
async def test_one_of_the_hosts_own_limit_is_taken_and_processed(forge: Forge, kind: str) -> None:
    await forge.connect(kind)
    taken = await forge.deliver(kind, large(forge, kind, MAX_DELIVERY_BYTES))
    assert (taken.status_code, taken.json()["duplicate"]) == (202, False)
    await forge.run_jobs()
    (event,) = await forge.events(payload=True)
    assert (event["status"], event["bytesCut"]) == ("processed", MAX_DELIVERY_BYTES)
    assert len(event["payload"]["commits"]) == 20
    assert room_of(forge).free == 64 * 1024 * 1024
    again = await forge.deliver(
        kind, large(forge, kind, MAX_DELIVERY_BYTES), **{"Idempotency-Key": "x"}
    )
    assert again.json()["duplicate"] is (HOSTS[kind].SIGNATURE_HEADER is not None)


@pytest.mark.parametrize("kind", LARGE)
async def test_one_byte_more_is_413(forge: Forge, kind: str) -> None:
    await forge.connect(kind)
    answer = await forge.deliver(kind, large(forge, kind, MAX_DELIVERY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert await WebhookEvent.raw().count_documents({}) == 0


async def test_elsewhere_a_body_has_its_mebibyte(forge: Forge) -> None:
    await forge.connect("Bitbucket")
    answer = await forge.deliver("Bitbucket", large(forge, "Bitbucket", MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    padded = orjson.dumps({"name": "x" * MAX_BODY_BYTES})
    assert (await forge.cast.owner.post("/v1/projects", content=padded)).status_code == 413


@pytest.mark.parametrize("size", [MAX_BODY_BYTES - 1, MAX_BODY_BYTES])
async def test_what_other_bodies_may_have_is_kept_whole(forge: Forge, size: int) -> None:
    await forge.connect()
    payload = large(forge, "GitHub", size)
    await forge.deliver("GitHub", payload)
    (event,) = await forge.events(payload=True)
    assert event["payload"] == payload
    assert "bytesCut" not in event


@pytest.mark.parametrize("kind", LARGE)
async def test_a_forged_one_is_read_to_its_end_and_neither_parsed_nor_stored(
    forge: Forge, kind: str
) -> None:
    await forge.connect(kind)
    header = forge.hosts[kind].proof
    answer = await forge.deliver(
        kind, large(forge, kind, 3_000_000), **{header: "sha256=" + "0" * 64}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert await WebhookEvent.raw().count_documents({}) == 0
    assert room_of(forge).free == 64 * 1024 * 1024


async def test_a_large_one_that_is_no_json_is_422_and_gives_its_room_back(forge: Forge) -> None:
    await forge.connect()
    host = forge.hosts["GitHub"]
    (hook,) = host.repos["acme/notes"].hooks.values()
    path, _, headers = host.delivery(host.repos["acme/notes"], {})
    body = b'{"a": "' + b"x" * 2_000_000
    headers["X-Hub-Signature-256"] = "sha256=" + signature(host.secret(hook), body)
    answer = await forge.cast.nobody.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_json")
    assert room_of(forge).free == 64 * 1024 * 1024


async def test_many_at_once_share_the_room_and_all_are_taken(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.repositories.deliveries.reading._SECONDS", 60.0)
    await forge.connect()
    room, least = room_of(forge), 64 * 1024 * 1024
    room.free = 6_000_000

    async def one(number: int) -> Any:
        nonlocal least
        answer = await forge.deliver("GitHub", large(forge, "GitHub", 2_500_000, number=number))
        least = min(least, room.free)
        return answer.status_code

    assert await asyncio.gather(*(one(number) for number in range(6))) == [202] * 6
    assert least >= 0
    assert room.free == 6_000_000


async def lose_one(forge: Forge, payload: Any, **headers: str) -> Any:
    room = room_of(forge)
    free, room.free = room.free, 0
    try:
        return await forge.deliver("GitHub", payload, **headers)
    finally:
        room.free = free


async def test_one_for_which_there_is_no_room_is_told_as_lost_until_the_host_sends_it_again(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.repositories.deliveries.reading._SECONDS", 0.05)
    await forge.connect()
    payload, same = large(forge, "GitHub", 2_000_000), {"X-GitHub-Delivery": "one"}
    for _ in range(2):
        answer = await lose_one(forge, payload, **same)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    (event,) = await forge.events()
    assert (event["status"], event["error"], event["deliveryId"]) == ("failed", "lost", "one")
    await forge.run_jobs()
    health = await forge.health()
    assert (health["healthStatus"], health["reasons"]) == (
        "degraded",
        ["deliveries_failed", "deliveries_lost"],
    )
    again = await forge.deliver("GitHub", payload, **same)
    assert (again.status_code, again.json()) == (202, {"id": event["id"], "duplicate": False})
    await forge.look()
    (event,) = await forge.events(payload=True)
    assert (event["status"], event["payload"]["repository"]["full_name"]) == (
        "processed",
        "acme/notes",
    )
    assert (await forge.health())["healthStatus"] == "healthy"
    assert (await forge.deliver("GitHub", payload, **same)).json()["duplicate"] is True


async def test_a_forged_one_for_which_there_is_no_room_makes_nothing_look_lost(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.repositories.deliveries.reading._SECONDS", 0.05)
    await forge.connect()
    forged = {"X-Hub-Signature-256": "sha256=" + "0" * 64}
    assert (await lose_one(forge, large(forge, "GitHub", 2_000_000), **forged)).status_code == 401
    assert await WebhookEvent.raw().count_documents({}) == 0
    row: Any = await RepositoryConnection.raw().find_one({})
    assert row["healthStatus"] == "healthy"


async def test_small_ones_need_no_room(forge: Forge) -> None:
    await forge.connect()
    assert (await lose_one(forge, large(forge, "GitHub", 900_000))).status_code == 202


class Stranger:
    """Announces a body of the hosts' own limit, unsigned, and sends the first byte of it; or
    whatever body they are given."""

    def __init__(
        self, forge: Forge, path: str, body: bytes = b"x", headers: Any = None, address: str = ""
    ) -> None:
        self._came, self._end = asyncio.Event(), asyncio.Event()
        made = {"Content-Length": str(MAX_DELIVERY_BYTES), "Content-Type": "application/json"}
        transport = httpx2.ASGITransport(app=forge.api.app, client=(address or "127.0.0.1", 1))
        client = httpx2.AsyncClient(transport=transport, base_url="http://satchel.test")
        sent = client.post(path, content=self._body(body), headers={**made, **(headers or {})})
        self._answer = asyncio.create_task(sent)

    async def _body(self, body: bytes) -> AsyncIterator[bytes]:
        yield body[:1]
        self._came.set()
        await self._end.wait()
        yield body[1:]

    async def came(self) -> None:
        async with asyncio.timeout(30):
            await self._came.wait()

    async def answer(self) -> Any:
        self._end.set()
        return await self._answer


async def test_strangers_with_made_up_ids_take_no_room_and_learn_nothing(forge: Forge) -> None:
    await forge.connect()
    path, _, _ = forge.hosts["GitHub"].delivery(forge.hosts["GitHub"].repos[PATHS["GitHub"]], {})
    ours = path.rsplit("/", 1)
    elsewhere = f"{ours[0].replace('/github', '/gitlab')}/{ours[1]}"
    paths = [*(f"{ours[0]}/{ObjectId()}" for _ in range(3)), elsewhere]
    strangers = [Stranger(forge, other) for other in paths]
    for stranger in strangers:
        await stranger.came()
    assert room_of(forge).free == 64 * 1024 * 1024
    assert (await forge.deliver("GitHub", large(forge, "GitHub", 15_000_000))).status_code == 202
    known = Stranger(forge, path)
    await known.came()
    answers = [await stranger.answer() for stranger in (*strangers, known)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (401, "bad_signature")
    }
    assert len(await forge.events()) == 1


async def test_one_whose_connection_is_switched_off_takes_no_room(forge: Forge) -> None:
    await forge.connect()
    path, _, _ = forge.hosts["GitHub"].delivery(forge.hosts["GitHub"].repos[PATHS["GitHub"]], {})
    await RepositoryConnection.raw().update_one({}, {"$set": {"isActive": False}})
    stranger = Stranger(forge, path)
    await stranger.came()
    assert room_of(forge).free == 64 * 1024 * 1024
    assert (await stranger.answer()).status_code == 401


async def test_slow_strangers_at_one_connection_keep_no_signed_push_to_another_out(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.repositories.deliveries.reading._SECONDS", 0.05)
    await forge.connect()
    other = forge.hosts["GitHub"].add("acme/other", TOKEN)
    assert (await forge.other("acme/other"))[1].status_code == 201
    path, _, _ = forge.hosts["GitHub"].delivery(other, {})
    strangers = [Stranger(forge, path) for _ in range(3)]
    for stranger in strangers:
        await stranger.came()
    assert room_of(forge).free == 64 * 1024 * 1024 - MAX_DELIVERY_BYTES
    assert (await forge.deliver("GitHub", large(forge, "GitHub", 15_000_000))).status_code == 202
    assert [(await stranger.answer()).status_code for stranger in strangers] == [401] * 3
    assert room_of(forge).free == 64 * 1024 * 1024
    assert await WebhookEvent.raw().count_documents({}) == 1


async def test_strangers_at_every_connection_keep_no_signed_push_out(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are at the one that is pushed to, too, and from many addresses."""
    monkeypatch.setattr("app.repositories.deliveries.reading._SECONDS", 0.05)
    await forge.connect()
    github = forge.hosts["GitHub"]
    other = github.add("acme/other", TOKEN)
    assert (await forge.other("acme/other"))[1].status_code == 201
    assert (await forge.deliver("GitHub")).status_code == 202
    paths = [github.delivery(repo, {})[0] for repo in (github.repos[PATHS["GitHub"]], other)]
    strangers = [
        Stranger(forge, paths[number % 2], address=f"203.0.{16 * number}.1") for number in range(6)
    ]
    for stranger in strangers:
        await stranger.came()
    assert room_of(forge).free < MAX_DELIVERY_BYTES
    for size in (MAX_DELIVERY_BYTES, 15_000_000):
        assert (await forge.deliver("GitHub", large(forge, "GitHub", size))).status_code == 202
    assert [(await stranger.answer()).status_code for stranger in strangers] == [401] * 6
    assert room_of(forge).free == 64 * 1024 * 1024


async def test_what_gave_its_room_up_and_was_genuine_is_told_as_lost(forge: Forge) -> None:
    """Its address is a stranger's until something genuine has come from there."""
    await forge.connect()
    room, github = room_of(forge), forge.hosts["GitHub"]
    payload = large(forge, "GitHub", 20_000_000)
    path, body, headers = github.delivery(github.repos[PATHS["GitHub"]], payload)
    headers |= {"Content-Length": str(len(body)), "X-GitHub-Delivery": "one"}
    genuine = Stranger(forge, path, body, headers, "203.0.113.1")
    await genuine.came()
    async with room.hold(room.free + 1, "known", 0) as claim:
        assert claim.has_room
        answer = await genuine.answer()
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    (event,) = await forge.events()
    assert (event["status"], event["error"]) == ("failed", "lost")
    assert room.free == 64 * 1024 * 1024
