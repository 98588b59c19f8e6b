"""Exactly one sound `Host` line, on every path: two are read differently by a proxy and by what
stands behind it."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.serving import Served, served

VALUE = "/v1/users/{user}/apps/notes/data/k"
PATHS = {
    "hot": VALUE,
    "events": "/v1/analytics/events",
    "user": "/v1/users/{user}",
    "list": "/v1/users",
    "alive": "/livez",
    "ready": "/readyz",
    "metrics": "/metrics",
    "keys": "/.well-known/jwks.json",
    "document": "/openapi.json",
    "docs": "/docs",
    "console": "/console",
    "nowhere": "/nowhere",
}
FAULTS = {
    "two": (b"Host: a.example\r\nHost: b.example\r\n", "conflicting"),
    "twice the same": (b"Host: a.example\r\nHost: a.example\r\n", "conflicting"),
    "two apart": (b"Host: a.example\r\nAccept: */*\r\nhOsT: b.example\r\n", "conflicting"),
    "one empty of two": (b"Host: a.example\r\nHost:\r\n", "conflicting"),
    "none": (b"", "missing"),
    "joined": (b"Host: a.example, b.example\r\n", "malformed"),
    "joined closely": (b"Host: a.example,b.example\r\n", "malformed"),
    "with a path": (b"Host: a.example/evil\r\n", "malformed"),
    "with a user": (b"Host: user@a.example\r\n", "malformed"),
    "with a space": (b"Host: a.example b.example\r\n", "malformed"),
    "port in letters": (b"Host: a.example:http\r\n", "malformed"),
    "not ASCII": ("Host: bücher.example\r\n".encode(), "malformed"),
}
SOUND = {
    "name": b"a.example",
    "name and port": b"a.example:8000",
    "IPv4": b"127.0.0.1:80",
    "IPv6": b"[::1]:8000",
    "underscore": b"satchel_app:8000",
    "international": b"xn--bcher-kva.example",
    "empty": b"",
    "empty port": b"a.example:",
}


@pytest.fixture(scope="module")
def satchel(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    origins = '["https://app.example"]'
    with served(mongodb_uri, tmp_path_factory.mktemp("hosts"), cors_origins=origins) as found:
        yield found


@pytest.fixture(scope="module")
def user(satchel: Served) -> str:
    return str(satchel.post("/v1/users", {})["id"])


def send(
    satchel: Served, line: str, hosts: bytes, body: bytes = b"", version: str = "1.1"
) -> tuple[int, str, bytes]:
    """Status, head and body of the answer to one request, as it is on the wire."""
    port = int(satchel.url.rpartition(":")[2])
    head = (
        f"{line} HTTP/{version}\r\nAuthorization: Bearer {satchel.admin}\r\nConnection: close\r\n"
    )
    head += "Origin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.sendall(head.encode() + hosts + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        with wire.makefile("rb") as answer:
            start, _, rest = answer.read().partition(b"\r\n\r\n")
    return int(start.split()[1]), start.decode().lower(), rest


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "OPTIONS"])
def test_two_host_lines_are_400_on_every_path(
    satchel: Served, user: str, method: str, path: str
) -> None:
    hosts, code = FAULTS["two"]
    status, head, body = send(satchel, f"{method} {PATHS[path].format(user=user)}", hosts, b"1")
    problem = json.loads(body)
    assert (status, problem["code"]) == (400, "bad_host")
    assert "content-type: application/problem+json" in head
    assert "connection: close" in head
    assert f"x-request-id: {problem['requestId']}" in head
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [
        ("header:Host", code)
    ]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", ["hot", "user", "alive"])
def test_a_host_that_is_not_sound_is_400_and_names_what_is_wrong(
    satchel: Served, user: str, path: str, fault: str
) -> None:
    hosts, code = FAULTS[fault]
    status, _, body = send(satchel, f"GET {PATHS[path].format(user=user)}", hosts)
    assert (status, json.loads(body)["errors"][0]["code"]) == (400, code)


def test_nothing_is_written_for_two_host_lines(satchel: Served, user: str) -> None:
    assert send(satchel, f"PUT {VALUE.format(user=user)}", FAULTS["two"][0], b"1")[0] == 400
    assert send(satchel, f"DELETE /v1/users/{user}", FAULTS["two"][0])[0] == 400
    assert satchel.database.appdata.count_documents({}) == 0
    assert satchel.get(f"/v1/users/{user}")["id"] == user


def test_head_tells_by_its_status_alone(satchel: Served) -> None:
    status, _, body = send(satchel, "HEAD /livez", FAULTS["two"][0])
    assert (status, body) == (400, b"")


@pytest.mark.parametrize("host", SOUND)
def test_a_sound_host_is_served(satchel: Served, host: str) -> None:
    assert send(satchel, "GET /livez", b"Host: " + SOUND[host] + b"\r\n")[0] == 200


def test_an_old_client_need_not_name_a_host_and_names_no_two(satchel: Served) -> None:
    assert send(satchel, "GET /livez", b"", version="1.0")[0] == 200
    assert send(satchel, "GET /livez", FAULTS["two"][0], version="1.0")[0] == 400
