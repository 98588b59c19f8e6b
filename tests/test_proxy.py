"""Caddy as it is deployed, in front of two servers of a production: it spreads requests, goes round
a server that leaves, tells the client's address, and lets events through."""

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from tests.caddy import CADDY, caddy, configured
from tests.factories.productions import production
from tests.factories.starts import eventually, free_port
from tests.serving import ROOT, SECONDS, Served, served


@pytest.mark.parametrize(
    "own",
    [
        {"SATCHEL_SITE": ":80"},
        {"SATCHEL_SITE": "api.example.org", "CADDY_TRUSTED_PROXIES": "10.0.0.0/8 192.0.2.1/32"},
        {"SATCHEL_SITE": ":80", "CADDY_UPSTREAMS": "listed", "CADDY_SERVERS": "a:8000 b:8000"},
    ],
    ids=["compose", "behind another", "listed"],
)
def test_caddy_takes_its_configuration(own: dict[str, str]) -> None:
    checked = [str(CADDY), "validate", "--adapter", "caddyfile", "--config", "Caddyfile"]
    done = subprocess.run(
        checked, cwd=ROOT, env=configured(**own), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def first(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("production")
    own = production(folder) | {
        "shutdown_delay_seconds": "3",
        "log_requests": "true",
        "log_clients": "address",
    }
    with served(mongodb_uri, folder, **own) as found:
        yield found


@pytest.fixture(scope="module")
def second(first: Served) -> Iterator[Served]:
    with first.another() as found:
        yield found


@pytest.fixture(scope="module")
def proxy(first: Served, second: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with caddy(tmp_path_factory.mktemp("caddy"), [first.url, second.url]) as url:
        yield url


def answered(server: Served) -> float:
    """How many requests for a person's own document a server has answered."""
    lines = httpx2.get(f"{server.url}/metrics").text.splitlines()
    told = [line for line in lines if line.startswith("satchel_request_seconds_count")]
    return sum(float(line.rpartition(" ")[2]) for line in told if 'route="/v1/users' in line)


def test_requests_are_spread_and_metrics_are_for_the_inside(
    proxy: str, first: Served, second: Served
) -> None:
    before = [answered(server) for server in (first, second)]
    with httpx2.Client(headers=first.headers) as client:
        assert {client.get(f"{proxy}/v1/users").status_code for _ in range(20)} == {200}
        assert client.get(f"{proxy}/metrics").status_code == 404
    after = [answered(server) for server in (first, second)]
    assert all(now > then for now, then in zip(after, before, strict=True))


def test_a_client_cannot_say_whose_address_it_has(
    proxy: str, first: Served, second: Served
) -> None:
    """Limits are of the address that Caddy sees; what a client claims is replaced."""
    claimed = {"X-Forwarded-For": "203.0.113.7", "X-Request-Id": f"claimed-{time.monotonic_ns()}"}
    for _ in range(6):  # either server
        httpx2.get(f"{proxy}/v1/users", headers=claimed, timeout=30)
    said = [
        json.loads(line)
        for server in (first, second)
        for line in server.log.read_text().splitlines()
        if claimed["X-Request-Id"] in line
    ]
    assert {line["client"] for line in said} == {"127.0.0.1"}
    assert "is not trusted" not in first.log.read_text() + second.log.read_text()


def test_packed_answers_and_events_pass_as_they_are(proxy: str, first: Served) -> None:
    plain = httpx2.get(f"{first.url}/openapi.json", headers={"Accept-Encoding": "zstd"})
    passed = httpx2.get(f"{proxy}/openapi.json", headers={"Accept-Encoding": "zstd"})
    kept = ("content-encoding", "etag", "vary")
    assert [passed.headers.get(name) for name in kept] == [plain.headers.get(name) for name in kept]
    assert plain.headers["content-encoding"] == "zstd"
    bare = httpx2.get(f"{proxy}/openapi.json", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in bare.headers
    assert len(bare.content) > 4 * len(passed.content)


def test_a_server_that_leaves_costs_no_request(proxy: str, first: Served, second: Served) -> None:
    """It is not ready first, and gets no more; the other has all. Then it comes back."""
    statuses, stopped = [], False
    with httpx2.Client(headers=first.headers, timeout=30) as client:
        process = second.processes["serve"]
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            email = f"{len(statuses)}@example.com"
            answer = client.post(f"{proxy}/v1/users", json={"email": email, "name": "N"})
            statuses.append(answer.status_code)
            if len(statuses) == 20:
                process.terminate()
            if process.poll() is not None:
                stopped = True
                break
        statuses += [client.get(f"{proxy}/v1/users").status_code for _ in range(20)]
    assert stopped
    assert set(statuses) == {201, 200}
    second.start()


class Late(BaseHTTPRequestHandler):
    """A server that is ready, and answers."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_request_waits_while_no_server_is_there(tmp_path: Path) -> None:
    """The one server of a small deployment is replaced: requests come late, and none fails."""
    port = free_port()
    with caddy(tmp_path, [f"http://127.0.0.1:{port}"]) as url, ThreadPoolExecutor(2) as pool:
        asked = pool.submit(httpx2.get, f"{url}/v1/users", timeout=SECONDS)
        eventually(lambda: "connection refused" in (tmp_path / "caddy.log").read_text(), "a try")
        with ThreadingHTTPServer(("127.0.0.1", port), Late) as server:
            pool.submit(server.serve_forever)
            status = asked.result().status_code
            server.shutdown()
    assert status == 200


def test_a_proxy_that_is_not_trusted_is_told_of_once(mongodb_uri: str, tmp_path: Path) -> None:
    """Caddy is told to take the word of a proxy before it; Satchel is not, to take Caddy's."""
    own = production(tmp_path) | {"trusted_proxies": json.dumps(["192.0.2.1"])}
    trusting = {"CADDY_TRUSTED_PROXIES": "127.0.0.1/32"}
    with (
        served(mongodb_uri, tmp_path, **own) as server,
        caddy(tmp_path, [server.url], **trusting) as url,
    ):
        for _ in range(3):
            claimed = {**server.headers, "X-Forwarded-For": "203.0.113.7"}
            assert httpx2.get(f"{url}/v1/users", headers=claimed, timeout=30).status_code == 200
        said = [line for line in server.log.read_text().splitlines() if "is not trusted" in line]
    assert len(said) == 1
    told = json.loads(said[0])
    assert told["proxy"] == "127.0.0.1"
    assert "SATCHEL_TRUSTED_PROXIES" in told["advice"]
