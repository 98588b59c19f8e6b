"""Where requests of ours may lead: public addresses, however they are spelled, each looked at once
and then used."""

import asyncio
import ipaddress
import re
import socket
import ssl
import unicodedata
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote

import httpcore2
import httpx2

_PROTOCOLS: Final = ipaddress.ip_network("192.0.0.0/24")  # IETF protocol assignments (RFC 6890)
# IPv4 in the last four bytes: mapped (RFC 4291), translated (RFC 2765), behind a translator (RFC
# 6052).
_WRAPPED: Final = tuple(
    map(ipaddress.IPv6Network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"))
)
# IPv4-compatible, out of use (RFC 4291); translators inside a network (RFC 8215); documentation
# (RFC 9637).
_WITHIN: Final = tuple(map(ipaddress.IPv6Network, ("::/96", "64:ff9b:1::/48", "3fff::/20")))
_OWN_NAMES: Final = frozenset(
    {"localhost", "ip6-localhost", "ip6-loopback", "loopback", "broadcasthost"}
)
# RFC 2606, 6761, 6762, 7686, 8375, 9476, and ICANN's `internal`: no public name ends so
_RESERVED: Final = (
    *(".internal", ".local", ".home.arpa"),
    *(".test", ".invalid", ".onion", ".alt"),
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


class RefusedAddress(httpx2.ConnectError):
    """The place is not public, or may not be."""


class PublicOnly(httpx2.AsyncBaseTransport):
    """Sends requests to public addresses alone. A connection belongs to the name that it was made
    for.

    Args:
        verify: what certificates are held against.
        limits: of connections.
        private_hosts: that are reached wherever they are.
    """

    def __init__(
        self, verify: ssl.SSLContext, limits: httpx2.Limits, private_hosts: Iterable[str]
    ) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_PublicOnly(private_hosts),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request.

        Raises:
            RefusedAddress: its host has an address that is not public.
            OSError: the name service knows no such host.
            httpx2.TransportError: it was not sent or not answered.
        """
        url = request.url
        target = httpcore2.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        with _in_our_terms():
            answer = await self._pool.handle_async_request(
                httpcore2.Request(
                    request.method,
                    target,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


class _PublicOnly(httpcore2.AnyIOBackend):
    """Connects to public addresses alone: a name is resolved once, and what was checked is what is
    connected to."""

    def __init__(self, private_hosts: Iterable[str]) -> None:
        self._private_hosts = frozenset(host.lower() for host in private_hosts)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first address of a host, if all its addresses are public."""
        address = host if host.lower() in self._private_hosts else await public_address(host, port)
        return await super().connect_tcp(address, port, timeout, local_address, socket_options)


class _Body(httpx2.AsyncByteStream):
    """An answer's body, as it comes."""

    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _in_our_terms():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _in_our_terms() -> Iterator[None]:
    """What httpcore2 raises, as callers of httpx2 know it."""
    try:
        yield
    except httpcore2.TimeoutException as error:
        raise httpx2.TimeoutException(str(error)) from error
    except (
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.UnsupportedProtocol,
    ) as error:
        raise httpx2.TransportError(str(error)) from error


async def public_address(host: str, port: int) -> str:
    """The address of a host to connect to, where all that it has are public.

    What was looked at is what is to be connected to: a second answer of the name service cannot
    lead elsewhere.

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
    """Whether an IP address is one of the internet's; those inside a network, of the host and of
    clouds are not.

    An IPv6 address that stands for an IPv4 address is looked at by that one (RFC 4291, 2765, 3056,
    6052).
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.version == 4:
        return _is_open(parsed) and parsed not in _PROTOCOLS
    if any(parsed in network for network in _WRAPPED):
        return is_public(str(ipaddress.IPv4Address(parsed.packed[-4:])))
    if (
        any(parsed in network for network in _WITHIN)
        or parsed.is_site_local
        or parsed.teredo is not None
    ):
        return False
    return _is_open(parsed) and (parsed.sixtofour is None or is_public(str(parsed.sixtofour)))


def leads_nowhere(host: str, private_hosts: Iterable[str] = ()) -> bool:
    """Whether a host can be known, without asking anybody, to be no public one: an address within,
    however it is spelled (decimal, octal, hexadecimal, shortened, in other digits), a name of the
    machine itself, or one that is reserved for what is not public (`db.internal`).

    Args:
        host: of a URL.
        private_hosts: names that are reached all the same, reserved or not.
    """
    seen = "".join(each for each in unquote(host) if unicodedata.category(each) != "Cf")
    plain = unicodedata.normalize("NFKC", seen).replace("\u3002", ".").rstrip(".").lower()
    if plain in _OWN_NAMES or plain.endswith((".localhost", ".localdomain")) or not plain:
        return True
    if plain.endswith(_RESERVED):
        return plain not in map(str.lower, private_hosts)
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
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )
