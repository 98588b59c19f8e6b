"""A Satchel in processes of its own: the server, and where it is asked for the worker, on the
session's mongod."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from pymongo import MongoClient

from models.api_key import hash_key
from scripts.mongod import end_with_starter

ROOT = Path(__file__).parent.parent
SECONDS = 60
_PREPARE = """\
from scripts.cli import app
# in one process: most of the time goes into its start
for command in (["indexes", "apply"], ["migrate"]):
    try:
        app(command)
    except SystemExit as ended:
        if ended.code:
            raise
"""


@dataclass
class Served:
    """A server that can be stopped and started again on the same port."""

    url: str
    environment: dict[str, str]
    log: Path
    database: Any
    admin: str
    root: Path = ROOT
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.admin}"}

    def start(self, command: str = "serve") -> None:
        with self.log.open("ab") as log:
            self.processes[command] = subprocess.Popen(
                [sys.executable, "-m", "scripts", command],
                env=self.environment,
                cwd=self.root,
                stderr=log,
                stdout=log,
                preexec_fn=end_with_starter(),  # noqa: PLW1509  # as `scripts run` starts it
            )
        if command == "serve":
            self._wait()

    def stop(self, command: str = "serve") -> None:
        process = self.processes.pop(command)
        process.terminate()
        process.wait(SECONDS)

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS
        while self.processes["serve"].poll() is None and time.monotonic() < deadline:
            try:
                if httpx2.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx2.TransportError:
                continue
        raise AssertionError(f"the server did not become ready: {self.log.read_text()[-2000:]}")

    @contextmanager
    def another(self) -> Iterator["Served"]:
        """A second server of the same deployment, on a port of its own."""
        port = _free_port()
        environment = {**self.environment, "SATCHEL_PORT": str(port)}
        log = self.log.with_name("log of another")
        second = Served(
            f"http://127.0.0.1:{port}", environment, log, self.database, self.admin, self.root
        )
        second.start()
        try:
            yield second
        finally:
            second.stop()

    def key(self, *scopes: str, app_id: str | None = None) -> str:
        body = {"name": "test", "scopes": scopes, "appId": app_id}
        return str(
            httpx2.post(f"{self.url}/v1/api-keys", json=body, headers=self.headers).json()["key"]
        )

    def post(self, path: str, body: Any) -> Any:
        answer = httpx2.post(f"{self.url}{path}", json=body, headers=self.headers, timeout=30)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str, **params: Any) -> Any:
        answer = httpx2.get(f"{self.url}{path}", params=params, headers=self.headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepare(environment: dict[str, str], root: Path = ROOT) -> None:
    """What a deployment does before its servers start, by the packages in the folder `root`."""
    subprocess.run(
        [sys.executable, "-c", _PREPARE], env=environment, cwd=root, check=True, capture_output=True
    )


@contextmanager
def served(
    mongodb_uri: str,
    folder: Path,
    *,
    root: Path = ROOT,
    as_user: Callable[[str], str] | None = None,
    **settings: str,
) -> Iterator[Served]:
    """A running server with a database, an admin key and a data folder of its own; its packages are
    in `root`. `as_user` makes a user for a database, as whom it is to come: the connection string.
    """
    name = f"served_{secrets.token_hex(4)}"
    port = _free_port()
    admin = f"sk_{secrets.token_urlsafe(32)}"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("SATCHEL_")},
        "SATCHEL_MONGODB_URI": mongodb_uri if as_user is None else as_user(name),
        "SATCHEL_DATABASE": name,
        "SATCHEL_DATA_DIR": str(folder),
        "SATCHEL_PORT": str(port),
        "SATCHEL_LOG_REQUESTS": "false",
        **{f"SATCHEL_{key.upper()}": value for key, value in settings.items()},
    }
    with MongoClient[dict[str, Any]](mongodb_uri, tz_aware=True) as client:
        client[name]["apikeys"].insert_one(
            {"name": "test", "scopes": ["admin"], "hash": hash_key(admin), "version": 1}
        )
        prepare(environment, root)
        found = Served(
            f"http://127.0.0.1:{port}", environment, folder / "log", client[name], admin, root
        )
        try:
            found.start()
            yield found
        finally:
            for command in list(found.processes):
                found.stop(command)
            client.drop_database(name)
