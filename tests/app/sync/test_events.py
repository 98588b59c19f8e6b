"""Live events: who listens is told to ask, whatever process writes, and nobody is told of what is
not theirs."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx2
import pytest
from bson import ObjectId

from tests.cast import Cast
from tests.harness import Api, Caller
from tests.serving import Served, served

PLACE = "/v1/users/me/apps/notes"
SOON = 20


class Listener:
    """Reads a stream of a server that runs by itself."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The next event with data, as its fields."""
        async with asyncio.timeout(SOON):
            event: dict[str, str] = {}
            async for line in self._lines:
                if not line:
                    if "data" in event:
                        return event
                    continue
                name, _, value = line.partition(": ")
                event[name] = value
        raise AssertionError("the stream has ended")

    async def end(self) -> str:
        """Why the stream ends, once it has."""
        event = await self.next()
        while event["event"] != "end":
            event = await self.next()
        async with asyncio.timeout(SOON):
            assert [line async for line in self._lines if line] == []
        assert int(event["retry"]) > 0
        return str(json.loads(event["data"])["reason"])


class Person:
    """Somebody with a token."""

    def __init__(self, satchel: Served, user_id: str, token: str) -> None:
        self.satchel, self.id = satchel, user_id
        self.client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=SOON)

    @classmethod
    def enrol(cls, satchel: Served, **asked: Any) -> Self:
        user_id = satchel.post("/v1/users", {})["id"]
        return cls(
            satchel, user_id, satchel.post(f"/v1/users/{user_id}/sessions", asked)["accessToken"]
        )

    @asynccontextmanager
    async def listen(
        self, app_id: str = "notes", satchel: Served | None = None, **how: Any
    ) -> AsyncIterator[Listener]:
        url = f"{(satchel or self.satchel).url}/v1/users/me/apps/{app_id}/events"
        async with self.client.stream("GET", url, **how) as answer:
            yield Listener(answer)

    async def put(self, value: Any, app_id: str = "notes", satchel: Served | None = None) -> None:
        path = f"/v1/users/me/apps/{app_id}/data/k"
        answer = await self.client.put(f"{(satchel or self.satchel).url}{path}", json=value)
        assert answer.is_success, answer.text

    async def cursor(self) -> str:
        answer = await self.client.get(f"{self.satchel.url}{PLACE}/changes")
        return str(answer.json()["cursor"])


@pytest.fixture(scope="module")
def satchel(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """With one place at the gate, of which a stream takes none, and as long to stop as answers
    under way take."""
    bounds = {"event_streams": "5", "event_streams_per_user": "3", "max_in_flight": "1"}
    folder = tmp_path_factory.mktemp("events")
    with served(mongodb_uri, folder, shutdown_grace_seconds="600", **bounds) as it:
        yield it


async def test_whoever_listens_is_told_and_of_nothing_else(satchel: Served) -> None:
    anna, ben = Person.enrol(satchel), Person.enrol(satchel)
    async with anna.listen() as notes, anna.listen("boats") as boats, ben.listen() as stranger:
        assert notes.answer.headers["content-type"].startswith("text/event-stream")
        assert notes.answer.headers["cache-control"] == "no-store"
        assert notes.answer.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in notes.answer.headers
        await anna.put(1)
        event = await notes.next()
        assert event["event"] == "changed"
        assert json.loads(event["data"]) == {"cursor": event["id"]}
        await anna.put(1, "boats")
        await ben.put(1)
        for listener in (
            boats,
            stranger,
        ):  # the first that they are told of is their own, or it would be another's
            assert (await listener.next())["event"] == "changed"


async def test_two_processes_tell_of_each_others_writes_and_one_that_stops_sends_its_clients_on(
    satchel: Served,
) -> None:
    anna = Person.enrol(satchel)
    with satchel.another() as second:
        async with anna.listen(satchel=second) as there, anna.listen() as here:
            await anna.put(1)
            last = (await there.next())["id"]
            await here.next()
            await anna.put(2, satchel=second)
            await here.next()
            second.processes["serve"].terminate()
            assert await there.end() == "server_stopping"
            await anna.put(3)
    async with anna.listen(headers={"Last-Event-ID": last}) as again:
        assert (await again.next())["event"] == "changed"


async def test_one_that_is_behind_is_told_on_connect_and_one_that_is_not_is_not(
    satchel: Served,
) -> None:
    anna = Person.enrol(satchel)
    await anna.put(1)
    before = await anna.cursor()
    async with anna.listen(params={"since": before}) as listener:
        await anna.put(2)
        told = await listener.next()
    async with anna.listen(params={"since": before}) as listener:
        assert (await listener.next())["event"] == "changed"
    current = await anna.cursor()
    async with anna.listen(params={"since": current}, headers={"Last-Event-ID": ""}) as listener:
        await anna.put(3)
        await anna.put(4)
        assert (await listener.next())["id"] != told["id"]
        changes = (
            await anna.client.get(f"{anna.satchel.url}{PLACE}/changes", params={"since": current})
        ).json()
        assert [change["value"] for change in changes["changes"]] == [4]


async def test_ended_sessions_and_deleted_users_hear_no_more(satchel: Served) -> None:
    anna, ben = Person.enrol(satchel), Person.enrol(satchel)
    async with anna.listen() as hers, ben.listen() as his:
        satchel.database["users"].update_one(
            {"_id": ObjectId(anna.id)}, [{"$set": {"sessionsEndedAt": "$$NOW"}}]
        )
        assert await hers.end() == "session_ended"
        httpx2.delete(f"{satchel.url}/v1/users/{ben.id}", headers=satchel.headers)
        assert await his.end() == "session_ended"
    async with anna.listen() as refused:
        assert refused.answer.status_code == 401
    async with ben.listen() as refused:
        assert refused.answer.status_code in (401, 404)


async def until_all_have_left(satchel: Served) -> None:
    async with asyncio.timeout(SOON), httpx2.AsyncClient() as client:
        while (
            b'satchel_streams_open{kind="changes"} 0.0'
            not in (await client.get(f"{satchel.url}/metrics")).content
        ):
            await asyncio.sleep(0.05)


async def test_there_are_so_many_streams_and_no_more(satchel: Served) -> None:
    anna, ben, cleo = (Person.enrol(satchel) for _ in range(3))
    await until_all_have_left(satchel)
    async with anna.listen(), anna.listen("boats"), anna.listen():
        async with anna.listen() as refused:
            assert (
                refused.answer.status_code,
                int(refused.answer.headers["retry-after"]) >= 5,
            ) == (429, True)
        async with ben.listen(), ben.listen(), cleo.listen() as refused:
            assert (
                refused.answer.status_code,
                int(refused.answer.headers["retry-after"]) >= 5,
            ) == (503, True)
            assert json.loads(await refused.answer.aread())["code"] == "unavailable"
    await until_all_have_left(satchel)


async def test_a_stream_ends_when_it_has_lasted_and_before_its_token_is_over(
    cast: Cast, api: Api
) -> None:
    answer = await cast.owner.get(f"{PLACE}/events")
    assert answer.status_code == 200
    assert answer.text.endswith('event: end\ndata: {"reason":"renew"}\n\n')
    tokens = api.app.state.authenticator.tokens
    issued = time.time() - api.settings.token_lifetime_seconds + 4
    short = api.caller(tokens.mint(ObjectId(cast.owner.id), issued_at=issued)[0])
    answer = await short.get(f"{PLACE}/events")
    assert answer.text.endswith('event: end\ndata: {"reason":"token_expiring"}\n\n')


async def test_a_head_tells_of_a_stream_and_opens_none(cast: Cast, api: Api) -> None:
    answer = await cast.owner.request("HEAD", f"{PLACE}/events")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert len(api.app.state.streams) == 0


@pytest.mark.parametrize("caller", ["stranger", "app_key"])
async def test_a_cursor_of_somebody_else_opens_nothing(cast: Cast, caller: str) -> None:
    someone: Caller = getattr(cast, caller)
    hers = (await cast.owner.get("/v1/users/me/apps/boats/changes")).json()["cursor"]
    assert (await someone.get(f"/v1/users/{cast.owner.id}/apps/boats/events")).status_code == 404
    place = (
        f"{PLACE}/events"
        if caller == "stranger"
        else f"/v1/users/{cast.owner.id}/apps/notes/events"
    )
    answer = await someone.get(place, params={"since": hers})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?since")
    answer = await someone.get(place, headers={"Last-Event-ID": hers})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (
        422,
        "header:Last-Event-ID",
    )


async def test_pages_of_an_allowed_origin_may_listen(make_api: Any) -> None:
    api = await make_api(cors_origins=["https://notes.example.com"])
    user = (await (await api.key("admin")).post("/v1/users", json={})).json()["id"]
    headers = {"Origin": "https://notes.example.com"}
    answer = await api.token(user).get(f"{PLACE}/events", headers=headers)
    assert answer.headers["access-control-allow-origin"] == "https://notes.example.com"
