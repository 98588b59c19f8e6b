"""Where requests may lead: to the address that was looked at, over a connection that is the name's
own."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from app.outside import addresses
from app.outside.addresses import PublicOnly, RefusedAddress, is_public
from models.base import now

NAME, OTHER, STRANGER = "hooks.example", "other.example", "stranger.example"


def certify(folder: Path, *names: str) -> Path:
    """A certificate that is its own authority, with its key, for these names."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    made = x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=subject,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=now() - timedelta(days=1),
        not_valid_after=now() + timedelta(days=1),
    )
    made = made.add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM) + private)
    return path


class Tls:
    """A server that notes the names that clients ask its certificate for, one a connection, and
    their `Host` lines."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self.hosts: list[str] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.hosts += [
                    line[6:].decode()
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"host: ")
                ]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def tls_server(certificate: Path) -> AsyncIterator[Tls]:
    told = Tls()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: told.names.append(name)
    server = await asyncio.start_server(told.answer, "127.0.0.1", 0, ssl=context)
    told.port = server.sockets[0].getsockname()[1]
    async with server:
        yield told


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Tls]:
    async with tls_server(certify(tmp_path, NAME, OTHER)) as told:
        yield told


@pytest.fixture
async def client(tmp_path: Path, server: Tls) -> AsyncIterator[httpx2.AsyncClient]:
    trusted = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    transport = PublicOnly(
        trusted, httpx2.Limits(max_connections=4, max_keepalive_connections=4), []
    )
    async with httpx2.AsyncClient(transport=transport, trust_env=False, timeout=10) as made:
        yield made


async def test_the_address_that_was_looked_at_is_the_one_that_is_called(
    client: httpx2.AsyncClient, server: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another answer of the name service, a moment later, leads nowhere else; the certificate is
    still the name's."""
    asked = _names(monkeypatch)
    for _ in range(2):
        answer = await client.get(f"https://{NAME}:{server.port}/")
        assert (answer.status_code, answer.text) == (200, "ok")
    assert asked == [NAME]  # once for the connection, which the second request found
    assert server.names == [NAME]
    assert server.hosts == [f"{NAME}:{server.port}"] * 2


async def test_a_connection_serves_no_other_name_of_the_same_address(
    client: httpx2.AsyncClient, server: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    _names(monkeypatch)
    for name in (NAME, OTHER):
        assert (await client.get(f"https://{name}:{server.port}/")).status_code == 200
    assert server.names == [NAME, OTHER]


async def test_the_certificate_has_to_be_for_the_name(
    client: httpx2.AsyncClient, server: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    _names(monkeypatch)
    with pytest.raises(httpx2.TransportError, match="CERTIFICATE_VERIFY_FAILED"):
        await client.get(f"https://{STRANGER}:{server.port}/")
    assert server.hosts == []


async def test_an_address_within_is_not_called(
    client: httpx2.AsyncClient, server: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    _names(monkeypatch, "10.0.0.1")
    with pytest.raises(RefusedAddress):
        await client.get(f"https://{NAME}:{server.port}/")
    assert server.names == []


def _names(monkeypatch: pytest.MonkeyPatch, first: str = "127.0.0.1") -> list[str]:
    """Have the name service say `first` once for each name, then an address within. 127.0.0.1
    passes for public."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        address = "10.0.0.1" if host in asked else first
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    loopback = ipaddress.ip_address("127.0.0.1")
    real = is_public
    monkeypatch.setattr(
        addresses, "is_public", lambda a: ipaddress.ip_address(a) == loopback or real(a)
    )
    resolve = asyncio.get_running_loop().getaddrinfo

    async def chosen(host: str, port: int, **more: Any) -> Any:
        return await (getaddrinfo if host.endswith(".example") else resolve)(host, port, **more)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", chosen)
    return asked
