"""Caddy as `Caddyfile` has it, in front of servers of a test."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from scripts.mongod import end_with_starter
from tests.factories.starts import free_port
from tests.serving import ROOT, SECONDS

CADDY = Path(sys.executable).with_name("caddy")


def configured(**own: str) -> dict[str, str]:
    """The environment of a Caddy whose own interface is in nobody's way."""
    clean = {name: value for name, value in os.environ.items() if "CADDY" not in name}
    return {**clean, "CADDY_ADMIN": f"127.0.0.1:{free_port()}", **own}


@contextmanager
def caddy(folder: Path, servers: list[str], **own: str) -> Iterator[str]:
    """Where it listens, while the block lasts."""
    port = free_port()
    environment = configured(
        HOME=str(folder),
        SATCHEL_SITE=f"http://127.0.0.1:{port}",
        CADDY_UPSTREAMS="listed",
        CADDY_SERVERS=" ".join(server.removeprefix("http://") for server in servers),
        **own,
    )
    run = [str(CADDY), "run", "--adapter", "caddyfile", "--config", str(ROOT / "Caddyfile")]
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            run,
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            preexec_fn=end_with_starter(),  # noqa: PLW1509  # as servers are started
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until_it_answers(url, folder / "caddy.log")
        yield url
    finally:
        process.terminate()
        process.wait(SECONDS)


def until_it_answers(url: str, log: Path) -> None:
    """By itself, whether there are servers or not."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{url}/metrics", timeout=SECONDS).status_code == 404:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])
