"""An upgrade under load, as docs/upgrades.md has it: two servers behind Caddy and a worker of an
earlier release are replaced one by one; no request fails, and nothing is lost."""

import io
import itertools
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bson import ObjectId

from tests.caddy import caddy
from tests.factories.starts import eventually
from tests.serving import ROOT, Served, prepare, served

BEFORE = "be6f84d6"
"""The release before, the first that needs no library which this one has left: it lacks indexes,
and knows of no ledger."""
ROOMS = ("app", "models", "indexes", "scripts")
PATIENCE = 60


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages of the release before; where the history is not here, those of this one."""
    packed = subprocess.run(
        ["git", "archive", BEFORE, *ROOMS], cwd=ROOT, capture_output=True, check=False
    )
    if packed.returncode != 0:
        return ROOT
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Load:
    """People who write and read by two threads; what was asked, answered and acknowledged."""

    def __init__(self, url: str, headers: dict[str, str], user: str) -> None:
        self.answers = Counter[tuple[str, int | str]]()
        self.values: dict[str, int] = {}
        self.events: set[str] = set()
        self.people: set[str] = set()
        self._url, self._headers, self._user = url, headers, user
        self._numbers, self._ended = itertools.count(), threading.Event()

    @property
    def count(self) -> int:
        return sum(self.answers.values())

    @contextmanager
    def going(self) -> Iterator[None]:
        with ThreadPoolExecutor(2) as pool:
            tasks = [pool.submit(self._go) for _ in range(2)]
            try:
                yield
            finally:
                self._ended.set()
        for task in tasks:
            task.result()

    def _go(self) -> None:
        with httpx2.Client(headers=self._headers, timeout=PATIENCE) as client:
            while not self._ended.is_set():
                number = next(self._numbers)
                for act in (self._write, self._read, self._happen, self._enrol):
                    act(client, number)
                self._ended.wait(0.1)  # servers that start want the cores, too

    def _asked(self, client: httpx2.Client, method: str, path: str, **what: Any) -> int:
        try:
            status: int | str = client.request(method, self._url + path, **what).status_code
        except httpx2.TransportError as error:
            status = type(error).__name__
        self.answers[method, status] += 1
        return status if isinstance(status, int) else 0

    def _value(self, number: int) -> str:
        return f"/v1/users/{self._user}/apps/notes/data/k{number}"

    def _write(self, client: httpx2.Client, number: int) -> None:
        if self._asked(client, "PUT", self._value(number), json={"n": number}) in (200, 201):
            self.values[f"k{number}"] = number

    def _read(self, client: httpx2.Client, number: int) -> None:
        """By whichever server: what was acknowledged is there."""
        assert self._asked(client, "GET", self._value(number)) == 200

    def _happen(self, client: httpx2.Client, number: int) -> None:
        message = f"m{number}"
        event = {"appId": "notes", "eventName": "e", "eventCategory": "custom"}
        event |= {"messageId": message, "userId": self._user}
        if self._asked(client, "POST", "/v1/analytics/events", json=event) in (200, 201, 202):
            self.events.add(message)

    def _enrol(self, client: httpx2.Client, number: int) -> None:
        body = {"email": f"p{number}@example.com", "name": "P"}
        if self._asked(client, "POST", "/v1/users", json=body) == 201:
            self.people.add(body["email"])


def test_servers_and_worker_are_replaced_one_by_one_under_load(
    before: Path, mongodb_uri: str, tmp_path: Path
) -> None:
    settings = {"shutdown_delay_seconds": "4", "deletion_fence_seconds": "0"}
    with (
        served(mongodb_uri, tmp_path, root=before, **settings) as first,
        first.another() as second,
        caddy(tmp_path, [first.url, second.url]) as url,
    ):
        first.start("worker")
        user, leaver = (
            first.post("/v1/users", {"email": f"{name}@example.com", "name": name})["id"]
            for name in ("stays", "leaves")
        )
        load = Load(url, first.headers, user)
        with load.going():
            some_more(load)
            not_taken = first.database["migrations"].find_one_and_delete({}, sort=[("_id", -1)])
            assert not_taken is not None  # so that `migrate` takes a step beside old servers, too
            prepare(first.environment, ROOT)  # indexes and data, while the old servers serve
            some_more(load)
            for server in (first, second):
                replace(server, "serve")
                some_more(load)
            gone = httpx2.delete(f"{url}/v1/users/{leaver}", headers=first.headers, timeout=60)
            replace(first, "worker")
            some_more(load)
        assert gone.is_success, gone.text
        assert {status for _, status in load.answers} <= {200, 201, 202}, load.answers
        nothing_is_lost(first, load, user)
        eventually(lambda: is_final(first, leaver), "the receipt of what was deleted meanwhile")
        assert second.get("/readyz")["pendingSteps"] == []


def some_more(load: Load) -> None:
    goal = load.count + 40
    eventually(lambda: load.count >= goal, "requests")


def replace(server: Served, command: str) -> None:
    """Stop one, and start this release in its place."""
    server.stop(command)
    server.root = ROOT
    server.start(command)


def nothing_is_lost(server: Served, load: Load, user: str) -> None:
    kept = server.database["appdata"].find({"userId": ObjectId(user)})
    assert {row["dataKey"]: row["value"]["n"] for row in kept} == load.values
    told = Counter(row["messageId"] for row in server.database["analytics"].find({}))
    assert told == Counter(load.events)
    emails = {row["email"] for row in server.database["users"].find({})}
    assert load.people <= emails
    checked = subprocess.run(
        [sys.executable, "-m", "scripts", "integrity", "check"],
        env=server.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def is_final(server: Served, deletion: str) -> bool:
    return bool(server.get(f"/v1/admin/deletions/{deletion}")["final"])
