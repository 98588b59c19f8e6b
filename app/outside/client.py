"""Requests to outside systems: deadlines, size limits, no redirects, no way inside; and what their
failures mean."""

import asyncio
import logging
import ssl
import zlib
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson

from app.jobs.backoff import OUTSIDE
from app.outside.addresses import PublicOnly
from app.settings import Settings
from models.base import now
from models.clock import CLOCK

_MOST_BYTES: Final = 16 * 1024 * 1024
_GZIP: Final = 31  # zlib: a gzip header, the largest window
PACKED: Final = {"Accept-Encoding": "gzip"}
"""Header of every request whose answer is read: what `read_bounded` unpacks."""
_LIMITS: Final = httpx2.Limits(max_connections=100, max_keepalive_connections=20)
for _name in ("httpx2", "httpcore2"):  # at lower levels they log URLs and the headers of answers
    logging.getLogger(_name).setLevel(logging.WARNING)


class TryLater(Exception):
    """The outside system is not able to answer now: overloaded, broken, or out of reach.

    Attributes:
        reason: a word for it, without anything of the request.
        retry_after: seconds to wait, where the system says.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Redirected(TryLater):
    """What was asked for is elsewhere, the outside system says. Nobody goes there: a token is for
    one place."""

    def __init__(self) -> None:
        super().__init__("redirected")


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """An outside system's answer: 2xx or 4xx, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether it is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The value that the body spells.

        Raises:
            TryLater: it is no JSON.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise TryLater("malformed_answer") from None


@lru_cache(maxsize=16)
def _tls(certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def new_client(
    settings: Settings,
    *,
    timeout: float,
    private_hosts: Collection[str] | None = (),
    limits: httpx2.Limits = _LIMITS,
    verify: ssl.SSLContext | None = None,
    **options: Any,
) -> httpx2.AsyncClient:
    """A client for outside systems: every one of ours comes from here. It follows no redirect and
    knows no proxy.

    Args:
        settings: in production only public addresses are reached.
        timeout: seconds to connect, to send, and from one part of an answer to the next.
        private_hosts: that are reached wherever they are; None where an operator has named the
            place, for any.
        limits: of connections.
        verify: what certificates are held against; the system's, where None.
        options: further ones of httpx2's client.
    """
    context = verify or _tls()
    transport: httpx2.AsyncBaseTransport
    if settings.environment == "production" and private_hosts is not None:
        transport = PublicOnly(context, limits, private_hosts)
    else:
        transport = httpx2.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)
    return httpx2.AsyncClient(
        transport=transport, timeout=timeout, follow_redirects=False, trust_env=False, **options
    )


@asynccontextmanager
async def outgoing(
    settings: Settings,
    base_url: str,
    *,
    headers: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    certificate: tuple[Path | None, Path | None] = (None, None),
) -> AsyncIterator["Outgoing"]:
    """A client for one outside system, while the block lasts.

    Args:
        settings: timeout; in production, which hosts may have private addresses.
        base_url: of its API.
        headers: to send with each request.
        auth: user name and password (RFC 7617).
        certificate: files of the client certificate and its key, for mutual TLS.
    """
    seconds = settings.outgoing_timeout_seconds
    async with new_client(
        settings,
        timeout=seconds,
        private_hosts=settings.outgoing_private_hosts,
        verify=_tls(*certificate),
        base_url=base_url,
        headers={"User-Agent": "Satchel", **PACKED, **(headers or {})},
        auth=httpx2.BasicAuth(*auth) if auth else None,
    ) as client:
        yield Outgoing(client, seconds)


class Outgoing:
    """Sends requests to one outside system."""

    def __init__(self, client: httpx2.AsyncClient, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    async def send(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        """One request and its whole answer, 2xx or 4xx.

        Raises:
            TryLater: no answer in time, one that was cut off or is too large, 429, 5xx.
            Redirected: a redirect, which is not followed.
        """
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._read(method, path, query, json)
        except TimeoutError:
            raise TryLater("timeout") from None
        except httpx2.TimeoutException:
            raise TryLater("timeout") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError):
            raise TryLater("unreachable") from None
        if answer.status == 429 or _is_rate_limit(answer):
            raise TryLater("rate_limited", retry_after(answer.headers))
        if answer.status >= 500:
            raise TryLater("server_error", retry_after(answer.headers))
        if 300 <= answer.status < 400:
            raise Redirected
        return answer

    async def _read(
        self, method: str, path: str, query: Mapping[str, str] | None, json: Any
    ) -> Answer:
        async with self._client.stream(method, path, params=query, json=json) as response:
            return Answer(response.status_code, response.headers, await read_bounded(response))


async def read_bounded(response: httpx2.Response) -> bytes:
    """An answer's body, unpacked in steps that never make more than a body may have, however small
    it is packed.

    Raises:
        TryLater: it is too large, is packed by what was not asked for, or is cut off.
    """
    packed = [
        name.strip().lower()
        for name in response.headers.get("content-encoding", "").split(",")
        if name.strip()
    ]
    if packed not in ([], ["identity"], ["gzip"], ["x-gzip"]):
        raise TryLater("malformed_answer")
    stream = zlib.decompressobj(_GZIP) if packed and packed != ["identity"] else None
    body = bytearray()
    async for chunk in response.aiter_raw():
        try:
            body += (
                chunk if stream is None else stream.decompress(chunk, _MOST_BYTES + 1 - len(body))
            )
        except zlib.error:
            raise TryLater("malformed_answer") from None
        if len(body) > _MOST_BYTES:
            raise TryLater("answer_too_large")
    if stream is not None and not stream.eof and response.num_bytes_downloaded:
        raise TryLater("malformed_answer")
    return bytes(body)


def _is_rate_limit(answer: Answer) -> bool:
    """GitHub answers 403 for a rate limit, and says so in its headers."""
    if answer.status != 403:
        return False
    return answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: `Retry-After` (RFC 9110, 10.2.3), or GitHub's
    `X-RateLimit-Reset`."""
    told = headers.get("retry-after")
    try:
        if told is not None and told.strip().isdigit():
            return min(float(told), OUTSIDE.longest)
        if told is not None:
            wait = (parsedate_to_datetime(told) - now()).total_seconds()
        elif (reset := headers.get("x-ratelimit-reset")) is not None:
            wait = float(reset) - CLOCK.time()
        else:
            return None
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait, 0.0), OUTSIDE.longest)
