"""`make run`, in a process."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 60


@dataclass
class Satchel:
    """A `scripts run`, or another script, with a data folder and a port of its own."""

    process: subprocess.Popen[str]
    data_dir: Path
    port: int
    console: Path

    @property
    def output(self) -> str:
        return self.console.read_text()

    def end(self, signum: int | None = None) -> int:
        """Send a signal, wait for the end, and give the exit code."""
        if signum is not None:
            self.process.send_signal(signum)
        return self.process.wait(SECONDS)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request with the admin key: status and JSON body."""
        key = (self.data_dir / "admin-key").read_text().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Start = Callable[..., Satchel]
