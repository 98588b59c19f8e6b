"""Several server processes on one port: one that dies is replaced, all are replaced one by one, all
measure together, and a server that is stopped says so first."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.serving import SECONDS, Served, served


@pytest.fixture(scope="module")
def fleet(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fleet")
    with served(mongodb_uri, folder, processes="2", shutdown_delay_seconds="1.5") as found:
        until(lambda: len(servers(found)) == 2 and all(asked(found, 20)))
        yield found


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 3 * SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def servers(fleet: Served) -> set[int]:
    """The processes that serve: the supervisor's children but Python's own tracker."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=", "-o", "args=", "--ppid", str(fleet.processes["serve"].pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    return {int(line.split()[0]) for line in listed if "spawn_main" in line}


def asked(fleet: Served, count: int) -> list[bool]:
    """Whether requests by connections of their own are answered."""
    return [httpx2.get(f"{fleet.url}/readyz").status_code == 200 for _ in range(count)]


def measured(fleet: Served, name: str) -> float:
    lines = httpx2.get(f"{fleet.url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


class Load:
    """Requests one after another, each by a connection of its own; what came of them."""

    def __init__(self, url: str) -> None:
        self.answers: list[int | str] = []
        self._url = url
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                answer = httpx2.get(f"{self._url}/v1/users/me", timeout=30)
                self.answers.append(answer.status_code)
            except httpx2.TransportError as error:
                self.answers.append(type(error).__name__)
            time.sleep(0.02)  # the processes that start want the cores, too


def test_both_serve_and_measure_together(fleet: Served) -> None:
    before = measured(fleet, 'satchel_request_seconds_count{method="GET",route="/livez"')
    for _ in range(40):
        httpx2.get(f"{fleet.url}/livez")
    assert measured(fleet, 'satchel_request_seconds_count{method="GET",route="/livez"') == (
        before + 40
    )
    assert measured(fleet, 'satchel_mongodb_pool_connections{state="open"}') >= 2
    assert measured(fleet, "satchel_requests_in_flight") >= 1


def test_one_that_is_killed_is_replaced(fleet: Served) -> None:
    killed = min(servers(fleet))
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in servers(fleet) and len(servers(fleet)) == 2)
    until(lambda: all(asked(fleet, 20)))
    assert measured(fleet, "satchel_requests_in_flight") < 10, "counted for the dead one"


def test_all_are_replaced_without_a_failed_request(fleet: Served) -> None:
    before = servers(fleet)
    with Load(fleet.url) as load:
        fleet.processes["serve"].send_signal(signal.SIGHUP)
        until(lambda: len(servers(fleet)) == 2 and not servers(fleet) & before)
        count = len(load.answers)
        until(lambda: len(load.answers) > count + 20)
    assert set(load.answers) == {401}
    assert len(load.answers) > 20


def test_a_stop_is_told_before_the_port_is_closed(fleet: Served) -> None:
    process, told = fleet.processes["serve"], set()
    process.terminate()
    while process.poll() is None:
        try:
            told.add(httpx2.get(f"{fleet.url}/readyz").status_code)
            told.add(httpx2.get(f"{fleet.url}/livez").status_code)
        except httpx2.TransportError:
            break
    assert 503 in told
    assert process.wait(SECONDS) == 0
    fleet.start()


def test_so_does_one_alone(mongodb_uri: str, tmp_path: Path) -> None:
    with served(mongodb_uri, tmp_path, shutdown_delay_seconds="1.5") as alone:
        process, told = alone.processes["serve"], set()
        process.terminate()
        while process.poll() is None:
            try:
                told.add(httpx2.get(f"{alone.url}/readyz").status_code)
            except httpx2.TransportError:
                break
        assert told >= {503}
        process.wait(SECONDS)
        alone.start()


def test_servers_end_with_a_supervisor_that_is_killed(fleet: Served) -> None:
    left = servers(fleet)
    fleet.processes["serve"].kill()
    fleet.processes["serve"].wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
    fleet.start()
