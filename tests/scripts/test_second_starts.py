"""Starts beside one that runs, and ends."""

import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.factories.starts import SECONDS, Satchel, Start, eventually


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, by `/proc`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_second_start_on_the_data_folder_is_refused_and_changes_nothing_in_it(
    satchel: Satchel, start: Start
) -> None:
    satchel.call("GET", "/v1/users")
    before = contents(satchel.data_dir)
    assert before["server.log"][1] > 0
    uri = (satchel.data_dir / "mongodb-uri").read_text().strip()
    seconds = [
        start(data_dir=satchel.data_dir),
        start(data_dir=satchel.data_dir, SATCHEL_MONGODB_URI=uri),
    ]
    for second in seconds:
        assert second.end() == 1
        assert re.search(
            r"Another Satchel runs with .*MongoDB is process \d+.*SATCHEL_DATA_DIR", second.output
        )
        assert not accepts(second.port)
    after = contents(satchel.data_dir)
    assert after.keys() == before.keys()
    assert after["server.log"][0] == before["server.log"][0]
    assert after["server.log"][1] >= before["server.log"][1]
    assert after["mongodb-uri"] == before["mongodb-uri"]
    assert satchel.call("GET", "/readyz")[0] == 200


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """The files of a folder: inode and size of each. The ledger is the worker's, who comes to
    it when it may."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_size)
        for path in folder.iterdir()
        if path.name != "ledger"
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"SATCHEL_MONGODB_URI": "mongodb://127.0.0.1:1/", "SATCHEL_REQUEST_TIMEOUT_MS": "300"},
        {"SATCHEL_MONGOD": "/nowhere/mongod"},
    ],
    ids=["a database that does not answer", "no mongod"],
)
def test_a_start_that_fails_leaves_no_data_folder(start: Start, wrong: dict[str, str]) -> None:
    failed = start(**wrong)
    assert failed.end() == 1
    assert not failed.data_dir.exists()
    assert not accepts(failed.port)


def test_a_foreign_program_on_the_port_is_called_one(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        blocked = start(port=foreign.getsockname()[1])
        assert blocked.end() == 1
    assert "Another program listens on 127.0.0.1" in blocked.output


def test_check_database_finds_the_running_satchel(satchel: Satchel, start: Start) -> None:
    check = start("check-database", data_dir=satchel.data_dir)
    assert check.end() == 0
    assert re.search(
        r"MongoDB \d.* replica set satchel with 1 member\(s\), primary, \d+ users", check.output
    )


def test_check_database_exits_1_and_shows_no_password(start: Start) -> None:
    nothing = start("check-database")
    refused = start(
        "check-database",
        SATCHEL_MONGODB_URI="mongodb://u:hunter2@127.0.0.1:1/",
        SATCHEL_REQUEST_TIMEOUT_MS="300",
    )
    malformed = start("check-database", SATCHEL_MONGODB_URI="mongodb://u:1234/hunter2@127.0.0.1:1/")
    assert [one.end() for one in (nothing, refused, malformed)] == [1, 1, 1]
    assert "make run" in nothing.output
    assert "mongodb://127.0.0.1:1: " in refused.output
    assert "malformed" in malformed.output
    assert "hunter2" not in refused.output + malformed.output
    assert "1234" not in malformed.output


def test_bad_settings_are_named(start: Start) -> None:
    port = start(SATCHEL_POOL_MAX_SIZE="many")
    production = start(SATCHEL_ENVIRONMENT="production")
    assert [port.end(), production.end()] == [1, 1]
    assert "SATCHEL_POOL_MAX_SIZE" in port.output
    assert "production needs SATCHEL_MONGODB_URI" in production.output


def test_a_missing_mongod_names_three_ways_and_leaves_no_server(start: Start) -> None:
    without = start(SATCHEL_MONGOD="/nowhere/mongod")
    assert without.end() == 1
    assert "Three ways" in without.output
    assert not accepts(without.port)


def test_ctrl_c_finishes_the_request_in_flight_and_stops_everything_and_the_data_stays(
    start: Start,
) -> None:
    first = start(up=True)
    eventually(lambda: len(descendants(first.process.pid)) == 3, "server, worker and database")
    children = descendants(first.process.pid)
    key = (first.data_dir / "admin-key").read_text().strip()
    body = b'{"email": "in-flight@example.org"}'
    head = (
        f"POST /v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type:"
        " application/json\r\n"
    )
    with socket.create_connection(("127.0.0.1", first.port), timeout=SECONDS) as flight:
        flight.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        eventually(
            lambda: "satchel_requests_in_flight 2.0" in metrics(first), "the request's arrival"
        )
        first.process.send_signal(signal.SIGINT)
        eventually(lambda: not accepts(first.port), "the end of listening")
        flight.sendall(body[5:])
        assert b" 201 " in flight.recv(4096).splitlines()[0]
    assert first.end() == 0
    assert [pid for pid in children if alive(pid)] == []
    assert not (first.data_dir / "mongodb-uri").exists()

    again = start(data_dir=first.data_dir, port=first.port, up=True)
    assert again.call("GET", "/v1/users?email=in-flight@example.org")[0] == 200
    assert key not in again.output
    assert again.end(signal.SIGTERM) == 0


def metrics(satchel: Satchel) -> str:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{satchel.port}/metrics", timeout=SECONDS
    ) as answer:
        return str(answer.read().decode())


def test_a_dead_database_ends_the_run_and_a_lost_key_is_replaced(start: Start) -> None:
    first = start(up=True)
    key = (first.data_dir / "admin-key").read_text()
    os.kill(int((first.data_dir / "db" / "mongod.lock").read_text()), signal.SIGKILL)
    assert first.end() == 1
    assert "The database ended by itself" in first.output

    (first.data_dir / "admin-key").write_text("sk_of-another-database")
    again = start(data_dir=first.data_dir, up=True)
    assert (again.data_dir / "admin-key").read_text() not in (key, "sk_of-another-database")
    assert "was not in this database" in again.output
    assert again.call("POST", "/v1/users", {})[0] == 201


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child that its parent has died"
)
def test_kill_9_of_the_runner_leaves_no_process(start: Start) -> None:
    satchel = start(up=True)
    eventually(lambda: len(descendants(satchel.process.pid)) == 3, "server, worker and database")
    children = descendants(satchel.process.pid)
    satchel.end(signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in children), "the end of the children")
