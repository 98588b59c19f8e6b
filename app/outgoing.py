"""Requests to outside systems: deadlines, size limits, no redirects, no way inside; and what their failures mean."""

import asyncio
import ipaddress
import logging
import random
import re
import socket
import ssl
import unicodedata
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import httpcore
import httpx
import orjson

from app.settings import Settings
from models.base import now
from models.clock import CLOCK

_MOST_BYTES: Final = 16 * 1024 * 1024
_GZIP: Final = 31  # zlib: a gzip header, the largest window
PACKED: Final = {"Accept-Encoding": "gzip"}
"""Header of every request whose answer is read: what `read_bounded` unpacks."""
_FIRST_WAIT: Final = 30.0
_LONGEST_WAIT: Final = 6 * 3600.0
_PROTOCOLS: Final = ipaddress.ip_network("192.0.0.0/24")  # IETF protocol assignments (RFC 6890)
# IPv4 in the last four bytes: mapped (RFC 4291), translated (RFC 2765), behind a translator (RFC 6052).
_WRAPPED: Final = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
# IPv4-compatible, out of use (RFC 4291); translators inside a network (RFC 8215); documentation (RFC 9637).
_WITHIN: Final = tuple(map(ipaddress.IPv6Network, ("::/96", "64:ff9b:1::/48", "3fff::/20")))

_OWN_NAMES: Final = frozenset({"localhost", "ip6-localhost", "ip6-loopback", "loopback", "broadcasthost"})
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

for _name in ("httpx", "httpcore"):  # at lower levels they log URLs and the headers of answers
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


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to public addresses alone: a name is resolved once, and what was checked is what is connected to."""

    def __init__(self, inner: httpcore.AsyncNetworkBackend, private_hosts: Iterable[str]) -> None:
        self._inner = inner
        self._private_hosts = frozenset(host.lower() for host in private_hosts)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address of a host, if all its addresses are public."""
        address = host if host.lower() in self._private_hosts else await public_address(host, port)
        return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """As the inner backend's."""
        await self._inner.sleep(seconds)


class RefusedAddress(httpcore.ConnectError):
    """The place is not public, or may not be."""


async def public_address(host: str, port: int) -> str:
    """The address of a host to connect to, where all that it has are public.

    What was looked at is what is to be connected to: a second answer of the name service cannot lead elsewhere.

    Raises:
        RefusedAddress: one is not public.
        OSError: the name service knows no such host.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_public, addresses)):
        raise RefusedAddress("the host has an address that is not public")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's; those inside a network, of the host and of clouds are not.

    An IPv6 address that stands for an IPv4 address is looked at by that one (RFC 4291, 2765, 3056, 6052).
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.version == 4:
        return _is_open(parsed) and parsed not in _PROTOCOLS
    if any(parsed in network for network in _WRAPPED):
        return is_public(str(ipaddress.IPv4Address(parsed.packed[-4:])))
    if any(parsed in network for network in _WITHIN) or parsed.is_site_local or parsed.teredo is not None:
        return False
    return _is_open(parsed) and (parsed.sixtofour is None or is_public(str(parsed.sixtofour)))


def leads_nowhere(host: str) -> bool:
    """Whether a host can be known, without asking anybody, to be no public one: an address within, however it is
    spelled (decimal, octal, hexadecimal, shortened, in other digits), or a name of the machine itself.
    """
    plain = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".").rstrip(".").lower()
    if plain in _OWN_NAMES or plain.endswith((".localhost", ".localdomain")) or not plain:
        return True
    try:
        return not is_public(plain)
    except ValueError:
        pass
    if not _NUMBER.fullmatch(plain.rpartition(".")[2]):
        return False
    try:  # as the C library reads it, and so whoever connects
        return not is_public(socket.inet_ntoa(socket.inet_aton(plain)))
    except OSError:
        return True  # it ends in a number, and is no address: no name is like that


def _is_open(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


@lru_cache(maxsize=16)
def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


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
    transport = httpx.AsyncHTTPTransport(verify=_tls(*certificate), trust_env=False, retries=0)
    if settings.environment == "production":
        pool: Any = transport._pool
        pool._network_backend = _Checked(pool._network_backend, settings.outgoing_private_hosts)
    seconds = settings.outgoing_timeout_seconds
    async with httpx.AsyncClient(
        transport=transport,
        base_url=base_url,
        headers={"User-Agent": "Satchel", **PACKED, **(headers or {})},
        auth=httpx.BasicAuth(*auth) if auth else None,
        timeout=httpx.Timeout(seconds),
        follow_redirects=False,
        trust_env=False,
    ) as client:
        yield Outgoing(client, seconds)


class Outgoing:
    """Sends requests to one outside system."""

    def __init__(self, client: httpx.AsyncClient, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    async def send(self, method: str, path: str, *, query: Mapping[str, str] | None = None, json: Any = None) -> Answer:
        """One request and its whole answer, 2xx or 4xx.

        Raises:
            TryLater: no answer in time, one that was cut off or is too large, 429, 5xx, a redirect.
        """
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._read(method, path, query, json)
        except TimeoutError:
            raise TryLater("timeout") from None
        except httpx.TimeoutException:
            raise TryLater("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError):
            raise TryLater("unreachable") from None
        if answer.status == 429 or _is_rate_limit(answer):
            raise TryLater("rate_limited", retry_after(answer.headers))
        if answer.status >= 500:
            raise TryLater("server_error", retry_after(answer.headers))
        if 300 <= answer.status < 400:
            raise TryLater("redirected")
        return answer

    async def _read(self, method: str, path: str, query: Mapping[str, str] | None, json: Any) -> Answer:
        async with self._client.stream(method, path, params=query, json=json) as response:
            return Answer(response.status_code, response.headers, await read_bounded(response))


async def read_bounded(response: httpx.Response) -> bytes:
    """An answer's body, unpacked in steps that never make more than a body may have, however small it is packed.

    Raises:
        TryLater: it is too large, is packed by what was not asked for, or is cut off.
    """
    packed = [name.strip().lower() for name in response.headers.get("content-encoding", "").split(",") if name.strip()]
    if packed not in ([], ["identity"], ["gzip"], ["x-gzip"]):
        raise TryLater("malformed_answer")
    stream = zlib.decompressobj(_GZIP) if packed and packed != ["identity"] else None
    body = bytearray()
    async for chunk in response.aiter_raw():
        try:
            body += chunk if stream is None else stream.decompress(chunk, _MOST_BYTES + 1 - len(body))
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
    """Seconds that an answer asks to wait: `Retry-After` (RFC 9110, 10.2.3), or GitHub's `X-RateLimit-Reset`."""
    told = headers.get("retry-after")
    try:
        if told is not None and told.strip().isdigit():
            return min(float(told), _LONGEST_WAIT)
        if told is not None:
            wait = (parsedate_to_datetime(told) - now()).total_seconds()
        elif (reset := headers.get("x-ratelimit-reset")) is not None:
            wait = float(reset) - CLOCK.time()
        else:
            return None
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT)


def backoff(failures: int, told: float | None = None) -> timedelta:
    """How long to wait after failures in a row: twice as long each time, up to six hours, at least as told; jittered.

    Args:
        failures: in a row, this one among them.
        told: seconds that the outside system asked for.
    """
    wait = min(_FIRST_WAIT * 2 ** min(max(failures - 1, 0), 12), _LONGEST_WAIT)
    return timedelta(seconds=max(wait * random.uniform(0.5, 1.0), (told or 0.0) * random.uniform(1.0, 1.1)))
