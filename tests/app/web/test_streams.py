"""Streams of server-sent events: told when woken, bounded, and ended with what they hang on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import pytest
import uvicorn
from bson import ObjectId
from starlette.types import Receive, Scope, Send

from app.errors import TooManyRequests, Unavailable
from app.identity.lapses import look
from app.identity.principal import Principal
from app.web.admission.gate import LEAVE_PLACE
from app.web.admission.pauses import PatientProtocol
from app.web.observability.measures import IN_FLIGHT
from app.web.streams import open_streams, stream
from app.web.streams.open_streams import OpenStreams
from app.web.streams.stream import End, Stream
from models import ApiKey, RefreshToken, User
from models.base import now
from tests.cast import Cast
from tests.harness import Api

SOMEBODY = Principal("key", ObjectId())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_SPACING_SECONDS", 0)


@dataclass
class Server:
    """uvicorn with our connections, in this process; every path is a stream that tells `told` when
    it is woken."""

    port: int
    running: uvicorn.Server
    streams: OpenStreams = field(default_factory=lambda: OpenStreams("test", 10, 10, 60))
    told: bytes = b"data: x\n\n"
    open: list[Stream] = field(default_factory=list)
    left: list[End | None] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[LEAVE_PLACE] = lambda: None
        with self.streams.admit(SOMEBODY) as found:
            self.open.append(found)
            await found.run(scope, receive, send, lambda: self.told)
        self.left.append(found.reason)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    async def until_left(self) -> End | None:
        async with asyncio.timeout(20):
            while not self.left:
                await asyncio.sleep(0.01)
        return self.left[0]


@pytest.fixture
async def server(unused_tcp_port: int) -> AsyncIterator[Server]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await found(scope, receive, send)

    options: dict[str, Any] = {"http": PatientProtocol, "lifespan": "off", "port": unused_tcp_port}
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", **options))
    found = Server(unused_tcp_port, running)
    task = asyncio.create_task(running._serve())
    while not running.started:
        await asyncio.sleep(0.01)
    yield found
    running.should_exit = running.force_exit = True
    await task


def events(sent: bytes) -> list[dict[str, str]]:
    """The events of a stream's text, each as its fields; comments are none."""
    blocks = [block for block in sent.decode().split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


async def test_what_wakes_a_stream_is_told_and_what_comes_meanwhile_is_told_once(
    server: Server,
) -> None:
    reader, writer = await server.connect()
    server.open[0].wake.set()
    server.open[0].wake.set()
    await reader.readuntil(b"data: x")
    server.told = b"data: y\n\n"
    server.open[0].wake.set()
    assert b"data: x" not in await reader.readuntil(b"data: y")
    writer.close()
    assert await server.until_left() is End.GONE
    assert len(server.streams) == 0


async def test_a_quiet_stream_says_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BEAT_SECONDS", 0.01)
    reader, writer = await server.connect()
    for _ in range(3):
        await reader.readuntil(b"\r\n:\n\n\r\n")
    writer.close()


async def test_a_server_that_stops_ends_its_streams_at_once_and_says_when_to_come_again(
    server: Server,
) -> None:
    connections = [await server.connect() for _ in range(3)]
    server.running.should_exit = True
    waits = set()
    for reader, _ in connections:
        async with asyncio.timeout(20):
            sent = await reader.read(-1)  # to the end of the connection
        waits.add(int(sent.split(b"retry: ")[-1].split(b"\n")[0]))
        assert json.loads(sent.split(b"event: end\ndata: ")[1].split(b"\n")[0]) == {
            "reason": "server_stopping"
        }
    assert all(200 <= wait <= 3000 for wait in waits)


async def test_one_who_does_not_read_is_cut_off(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_DRAIN_SECONDS", 0.2)
    server.told = b"data: " + b"x" * 2**20 + b"\n\n"
    _, unread = await server.connect()
    async with asyncio.timeout(20):
        while not server.left:
            server.open[0].wake.set()
            await asyncio.sleep(0.01)
    assert server.left == [End.SLOW]
    assert not server.running.server_state.connections  # and nothing is kept for it
    unread.close()


class Played:
    """A stream that is run without a server; `receive` never says that the client leaves."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.left_place = 0

    async def run(self, found: Stream) -> bytes:
        scope: dict[str, Any] = {LEAVE_PLACE: self._leave, "headers": []}
        async with asyncio.timeout(20):
            await found.run(scope, self._never, self._send, lambda: b"")
        return b"".join(message.get("body", b"") for message in self.sent)

    def _leave(self) -> None:
        self.left_place += 1

    async def _never(self) -> Any:
        await asyncio.Event().wait()

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


async def test_a_stream_holds_no_place_and_is_no_request_in_flight() -> None:
    before = IN_FLIGHT._value.get()
    streams, played = OpenStreams("test", 1, 1, 60), Played()
    with streams.admit(SOMEBODY) as found:
        running = asyncio.create_task(played.run(found))
        while not played.sent:
            await asyncio.sleep(0)
        assert (played.left_place, IN_FLIGHT._value.get()) == (1, before - 1)
        found.end(End.RENEW)
        await running
    assert IN_FLIGHT._value.get() == before
    headers = dict(played.sent[0]["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"].startswith(b"no-store")
    assert headers[b"x-accel-buffering"] == b"no"


@pytest.mark.parametrize(
    ("seconds", "lasts", "reason"),
    [(0.05, 3600.0, "renew"), (60, 5.1, "token_expiring"), (60, -1, "token_expiring")],
)
async def test_it_ends_before_its_token_does_and_after_a_while_in_any_case(
    seconds: float, lasts: float, reason: str
) -> None:
    who = replace(SOMEBODY, expires_at=time.time() + lasts)
    with OpenStreams("test", 1, 1, seconds).admit(who) as found:
        last = events(await Played().run(found))[-1]
    assert (last["event"], json.loads(last["data"])) == ("end", {"reason": reason})


async def test_there_are_so_many_of_a_user_and_so_many_at_all() -> None:
    streams, me, other = OpenStreams("test", 3, 2, 60), ObjectId(), ObjectId()
    with streams.admit(SOMEBODY, me), streams.admit(SOMEBODY, me):
        with pytest.raises(TooManyRequests) as of_one, streams.admit(SOMEBODY, me):
            pass
        with (
            streams.admit(SOMEBODY, other),
            pytest.raises(Unavailable) as of_all,
            streams.admit(SOMEBODY, ObjectId()),
        ):
            pass
    for refused in (of_one, of_all):
        assert 5 <= int(refused.value.headers["Retry-After"]) <= 30
    with streams.admit(SOMEBODY, me), streams.admit(SOMEBODY, me):
        assert len(streams) == 2
    assert streams._room._of == {}


async def test_streams_end_within_seconds_of_what_they_hang_on(
    cast: Cast, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_streams, "_LOOK_SECONDS", 0.01)
    key, kept = await api.key("data:read"), await api.key("data:read")
    authenticate = api.app.state.authenticator.authenticate
    streams = OpenStreams("test", 9, 9, 60)
    ends, stays = [await authenticate(f"Bearer {each.credential}") for each in (key, kept)]
    user = ObjectId(cast.owner.id)
    with streams.admit(ends, user) as ending, streams.admit(stays, user) as staying:
        await ApiKey.raw().delete_one({"_id": ends.id})
        async with asyncio.timeout(20):
            await ending.wake.wait()
        assert (ending.reason, staying.reason) == (End.SESSION_ENDED, None)
        await cast.admin.delete(f"/v1/users/{user}")
        async with asyncio.timeout(20):
            await staying.wake.wait()
        assert staying.reason is End.SESSION_ENDED


async def test_each_kind_of_listener_is_heard_no_more_when_what_it_hangs_on_is_gone(
    cast: Cast, api: Api
) -> None:
    me, other = ObjectId(cast.owner.id), ObjectId(cast.stranger.id)
    moment = now()
    session = RefreshToken(
        user_id=me, token_hash="x", auth_method="phone", ends_at=moment, expires_at=moment
    )
    await session.add()
    held = await api.key("sessions:write")
    key_id = (await api.app.state.authenticator.authenticate(f"Bearer {held.credential}")).id
    people = {
        "by a session": Principal("user", me, session_id=session.id),
        "by a server": Principal("user", me, issued_at=time.time(), key_id=key_id),
        "by a key that is gone": Principal("user", me, issued_at=time.time(), key_id=ObjectId()),
        "an admin of another": Principal("user", me, issued_at=time.time(), by_admin=True),
    }
    asked = [(who, other if name.startswith("an admin") else me) for name, who in people.items()]

    async def lapsed() -> set[str]:
        has_lapsed = await look(asked)
        return {name for name, pair in zip(people, asked, strict=True) if has_lapsed(*pair)}

    await User.raw().update_one({"_id": me}, {"$set": {"role": "admin"}})
    assert await lapsed() == {
        "by a session",
        "by a key that is gone",
    }  # that session is over by its time
    await RefreshToken.raw().update_one(
        {"_id": session.id}, {"$set": {"expiresAt": moment.replace(year=9999)}}
    )
    await User.raw().update_one({"_id": me}, {"$set": {"role": None}})
    assert await lapsed() == {"by a key that is gone", "an admin of another"}
    await User.raw().update_one(
        {"_id": me}, {"$set": {"sessionsEndedAt": moment.replace(year=9999)}}
    )
    assert await lapsed() == {"by a server", "by a key that is gone", "an admin of another"}
    await User.raw().delete_one({"_id": me})
    assert await lapsed() == set(people)


async def test_what_a_token_or_a_key_says_of_its_end_is_known(cast: Cast, api: Api) -> None:
    authenticate = api.app.state.authenticator.authenticate
    user = await authenticate(f"Bearer {cast.owner.credential}")
    assert 0 < user.expires_at - time.time() <= api.settings.token_lifetime_seconds
    assert (
        await authenticate(f"Bearer {(await api.key('data:read')).credential}")
    ).expires_at == inf
