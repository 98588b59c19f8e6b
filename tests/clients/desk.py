"""The desk: where a client under test asks for what is not its own, the code that was sent and a
server's token."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.clients.pages import serving
from tests.serving import Served

APP = "scenarios"
STRICT = {"type": "object", "properties": {"title": {"type": "string"}}}
_SECONDS = 20


def register(served: Served, *, app_id: str = APP) -> None:
    """The app of the scenarios: what is called `strict.…` has a schema."""
    answer = httpx2.put(
        f"{served.url}/v1/apps/{app_id}",
        json={"schemas": {"strict.*": STRICT}},
        headers=served.headers,
    )
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
    pair = served.post(f"/v1/users/{user['id']}/sessions", {})
    return {"accessToken": pair["accessToken"], "userId": user["id"]}


@contextmanager
def desk(served: Served) -> Iterator[str]:
    """Its URL: `/code?email=` and `/token?email=`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        email = parse_qs(url.query)["email"][0]
        told = (
            code_for(served, email) if url.path == "/code" else json.dumps(token_for(served, email))
        ).encode()
        handler.send_response(200)
        handler.send_header("Access-Control-Allow-Origin", "*")
        handler.send_header("Content-Length", str(len(told)))
        handler.end_headers()
        handler.wfile.write(told)

    with serving(answer) as url:
        yield url
