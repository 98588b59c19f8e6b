"""Networks that can be bad, for the Python client: what happens to requests and streams."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx2


class Network:
    """A network that can be bad: what happens to a request before it is sent, and to its answer."""

    def __init__(self) -> None:
        self.is_offline = False
        self.losing = 0
        self.stripping = 0
        """From how many answers to batches what is stored is taken out."""
        self.pages = 0
        """How many batches a proxy answers by a page of its own."""
        self.has_streams = True
        """Whether they get through: else a page of a proxy comes instead."""
        self.streams = 0
        """How many streams of events were opened."""
        self.foreign: str | None = None
        """A cursor that is sent once instead of the client's own."""
        self._stream: httpx2.Response | None = None
        self.words = b""
        """What a stream that is cut says last."""

    def before(self, request: httpx2.Request) -> httpx2.Request:
        if self.is_offline:
            raise httpx2.ConnectError("offline", request=request)
        if self.foreign and request.url.path.endswith("/changes") and "since" in request.url.params:
            request.url = request.url.copy_set_param("since", self.foreign)
            self.foreign = None
        return request

    def strips(self, request: httpx2.Request) -> bool:
        """Whether what is stored is taken out of this one's answer."""
        if not self.stripping or not request.url.path.endswith("/batch"):
            return False
        self.stripping -= 1
        return True

    def answers(self, request: httpx2.Request) -> bool:
        """Whether a proxy answers this one itself."""
        if self.is_offline or not self.pages or not request.url.path.endswith("/batch"):
            return False
        self.pages -= 1
        return True

    def cut(self, reason: str | None = None) -> None:
        """End the stream that is open: in the middle, or with a reason as the server does."""
        assert self._stream is not None, "no stream was opened"
        self.words = f'event: end\ndata: {{"reason":"{reason}"}}\n\n'.encode() if reason else b""
        stream: Any = self._stream.extensions["network_stream"]
        with suppress(OSError):
            stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def opened(self, answer: httpx2.Response) -> httpx2.Response:
        """A stream that can be cut; a proxy's page; any other answer as it is."""
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer
        if not self.has_streams:
            return httpx2.Response(200, headers={"Content-Type": "text/html"}, content=b"<p>?</p>")
        self.streams += 1
        self._stream = httpx2.Response(
            answer.status_code,
            headers=answer.headers,
            stream=Cut(self, answer.stream),
            extensions=answer.extensions,
        )
        return self._stream

    def after(self, request: httpx2.Request) -> None:
        if self.losing and request.url.path.endswith("/batch"):
            self.losing -= 1
            raise httpx2.ReadError("the answer was lost", request=request)


class Cut(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A stream's bytes, and what is to be its last words where it was cut."""

    def __init__(self, network: Network, inner: Any) -> None:
        self._network, self._inner = network, inner

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._inner
        except httpx2.TransportError:
            if not self._network.words:
                raise
        yield self._last()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except httpx2.TransportError:
            if not self._network.words:
                raise
        yield self._last()

    def _last(self) -> bytes:
        words, self._network.words = self._network.words, b""
        return words

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


class Wire(httpx2.BaseTransport):
    def __init__(self, network: Network) -> None:
        self._network, self._inner = network, httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._network.answers(request):
            return httpx2.Response(400, headers={"Content-Type": "text/html"}, content=b"<p>?</p>")
        answer = self._inner.handle_request(self._network.before(request))
        self._network.after(request)
        if self._network.strips(request):
            return _stripped(answer.read())
        return self._network.opened(answer)

    def close(self) -> None:
        self._inner.close()


class AsyncWire(httpx2.AsyncBaseTransport):
    def __init__(self, network: Network) -> None:
        self._network, self._inner = network, httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._network.answers(request):
            return httpx2.Response(400, headers={"Content-Type": "text/html"}, content=b"<p>?</p>")
        answer = await self._inner.handle_async_request(self._network.before(request))
        self._network.after(request)
        if self._network.strips(request):
            return _stripped(await answer.aread())
        return self._network.opened(answer)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _stripped(content: bytes) -> httpx2.Response:
    told = json.loads(content)
    for result in told["results"]:
        (result.get("current") or {}).pop("value", None)
    return httpx2.Response(200, json=told)
