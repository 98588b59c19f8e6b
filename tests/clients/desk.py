"""The desk: where a client under test asks for what is not its own, the code that was sent and a
server's token."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.clients.pages import serving
from tests.serving import Served

APP = "scenarios"
SMALL = "scenarios.small"
"""With a quota of three values."""
STRICT = {"type": "object", "properties": {"title": {"type": "string"}}}
_SECONDS = 20


def register(served: Served, *, app_id: str = APP) -> None:
    """The apps of the scenarios: what is called `strict.…` has a schema, and one has a quota."""
    for name, settings in (
        (app_id, {"schemas": {"strict.*": STRICT}}),
        (SMALL, {"quota": {"keys": 3}}),
    ):
        answer = httpx2.put(f"{served.url}/v1/apps/{name}", json=settings, headers=served.headers)
        assert answer.is_success, answer.text


def code_for(served: Served, email: str) -> str:
    """The newest code that was sent to a mailbox."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if codes := re.findall(rf"code (\d+) for {re.escape(email)}", served.log.read_text()):
            return str(codes[-1])
        time.sleep(0.02)
    raise AssertionError(f"no code was sent to {email}")


def token_for(served: Served, email: str) -> dict[str, str]:
    """A token of ten minutes for whoever has an email."""
    (user,) = httpx2.get(
        f"{served.url}/v1/users", params={"email": email}, headers=served.headers
    ).json()["items"]
    pair: dict[str, str] = served.post(f"/v1/users/{user['id']}/sessions", {})
    return pair


def invite(served: Served, email: str) -> None:
    """Make somebody whose mailbox is vouched for: who signs in by it is them."""
    answer = httpx2.put(
        f"{served.url}/v1/users/by/email/{email}",
        json={"verified": ["email"]},
        headers=served.headers,
    )
    assert answer.is_success, answer.text


@contextmanager
def desk(served: Served) -> Iterator[str]:
    """Its URL: `/code?email=`, `/token?email=`, `/invite?email=`, and `/restart` for another
    server."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        email = parse_qs(url.query).get("email", [""])[0]
        told = _told(served, starter, url.path, email).encode()
        handler.send_response(200)
        handler.send_header("Access-Control-Allow-Origin", "*")
        handler.send_header("Content-Length", str(len(told)))
        handler.end_headers()
        handler.wfile.write(told)

    # a server ends with the thread that started it, and those that answer end at once
    with ThreadPoolExecutor(1) as starter, serving(answer) as url:
        yield url


def _told(served: Served, starter: ThreadPoolExecutor, what: str, email: str) -> str:
    if what == "/restart":
        starter.submit(restart, served).result()
        return "restarted"
    if what == "/invite":
        invite(served, email)
        return "invited"
    return code_for(served, email) if what == "/code" else json.dumps(token_for(served, email))


def restart(served: Served) -> None:
    """Another server in the place of the one that runs."""
    served.stop()
    served.start()
