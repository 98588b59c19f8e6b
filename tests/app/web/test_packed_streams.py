"""Packed answers: what varies by whom; streams, of which each part can be read when it comes."""

import re
import threading
import zlib
from typing import Any

import pytest
import zstandard
from starlette.types import Message, Receive, Scope, Send

from app.web.etags import CODINGS
from app.web.layers.compression import (
    THREAD_MINIMUM,
    Compressed,
    _ZstdResponder,
)
from tests.cast import Cast
from tests.conftest import MakeApi
from tests.harness import Api


async def test_browsers_of_other_origins_vary_by_both(make_api: MakeApi) -> None:
    api = await make_api(cors_origins=["https://app.example"])
    answer = await api.client.get("/openapi.json", headers={"Origin": "https://app.example"})
    assert set(re.split(r",\s*", answer.headers["vary"])) == {"Accept-Encoding", "Origin"}


async def play(app: Any, accept: bytes) -> list[Message]:
    """What an application sends through the layer, part by part."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"accept-encoding", accept)],
    }
    await Compressed(app)(scope, receive, send)
    return sent


def parts(kind: bytes, *bodies: bytes, status: int = 200, headers: Any = ()) -> Any:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", kind), *headers],
            }
        )
        for body in bodies:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


@pytest.mark.parametrize("coding", CODINGS)
async def test_each_part_of_a_stream_can_be_read_when_it_comes(coding: str) -> None:
    lines = [b'{"number": %d}\n' % number for number in range(5)]
    start, *bodies = await play(parts(b"application/x-ndjson", *lines), coding.encode())
    assert dict(start["headers"])[b"content-encoding"] == coding.encode()
    reader: Any = (
        zlib.decompressobj(31) if coding == "gzip" else zstandard.ZstdDecompressor().decompressobj()
    )
    assert [reader.decompress(body["body"]) for body in bodies] == [*lines, b""]
    assert reader.eof
    assert [body.get("more_body", False) for body in bodies] == [True] * 5 + [False]


@pytest.mark.parametrize(
    "app",
    [
        parts(b"text/event-stream", b"data: 1\n\n", b"data: 2\n\n"),
        parts(b"text/plain", b"x" * 4000, status=206),
        parts(b"text/plain", b"x" * 4000, headers=[(b"content-encoding", b"br")]),
        parts(b"image/png", b"x" * 4000),
    ],
    ids=["events", "a range", "packed already", "an image"],
)
async def test_what_would_suffer_is_left_as_it_is(app: Any) -> None:
    plainly: list[Message] = []

    async def send(message: Message) -> None:
        plainly.append(message)

    await app({}, None, send)
    assert await play(app, b"zstd, gzip") == plainly


async def test_the_live_events_of_the_console_come_unpacked(cast: Cast, api: Api) -> None:
    reader = await api.key("analytics:read")
    signed = await api.client.post("/console/sign-in", data={"key": reader.credential})
    assert signed.status_code == 303
    headers = {
        "Accept-Encoding": "zstd, gzip",
        "Cookie": signed.headers["set-cookie"].partition(";")[0],
    }
    head = await api.client.request("HEAD", "/console/live", headers=headers)
    assert head.headers["content-type"].startswith("text/event-stream")
    assert "content-encoding" not in head.headers


async def test_what_is_large_is_packed_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    packing = []
    pack = _ZstdResponder._pack

    def noting(self: _ZstdResponder, body: bytes, more_body: bool) -> bytes:
        packing.append(threading.current_thread() is threading.main_thread())
        return pack(self, body, more_body)

    monkeypatch.setattr(_ZstdResponder, "_pack", noting)
    for size in (THREAD_MINIMUM - 1, THREAD_MINIMUM):
        await play(parts(b"text/plain", b"x" * size), b"zstd")
    assert packing == [
        True,
        True,
        False,
        True,
    ]  # the empty end of each stream is a thing of no time
